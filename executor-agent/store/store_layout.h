// Where things are on a store volume (common/api/environment.h has the picture), and what may be
// believed of an environment.json.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "common/api/environment.h"
#include "common/base/status.h"

namespace envicutor::agent {

inline constexpr std::string_view kStorePrefix = "/nix/store/";

class StoreLayout {
 public:
  explicit StoreLayout(std::string root) : root_(std::move(root)) {}

  [[nodiscard]] const std::string& root() const { return root_; }
  [[nodiscard]] std::string NixDir() const { return root_ + "/nix"; }
  // The folder that is bound as /nix/store while building; `store_path` begins with /nix/store/.
  [[nodiscard]] std::string RealPath(std::string_view store_path) const;
  [[nodiscard]] std::string EnvironmentsDir() const { return root_ + "/environments"; }
  [[nodiscard]] std::string EnvironmentDir(const std::string& hash) const;
  [[nodiscard]] std::string EnvironmentFile(const std::string& hash) const;
  [[nodiscard]] std::string ViewsDir() const { return root_ + "/views"; }
  [[nodiscard]] std::string ViewDir(const std::string& hash) const;
  [[nodiscard]] std::string RootsDir() const { return root_ + "/nix/var/nix/gcroots/envicutor"; }
  [[nodiscard]] std::string LockFile() const { return root_ + "/lock"; }

 private:
  std::string root_;
};

// "/nix/store/HASH-NAME" and nothing below it.
[[nodiscard]] Status CheckStorePath(std::string_view path);
// The store path that `path` lies in: "/nix/store/HASH-NAME" of "/nix/store/HASH-NAME/bin/bash".
// InvalidArgument when it is not in the store or has "." or ".." parts.
[[nodiscard]] Result<std::string> StorePathOf(std::string_view path);
// Letters, digits and _, not beginning with a digit.
[[nodiscard]] bool IsVariableName(std::string_view name);
// What the kernel and the wire can carry: 128 KiB a variable (MAX_ARG_STRLEN), 1 MiB in all.
[[nodiscard]] Status CheckVariables(const std::map<std::string, std::string>& variables);
// Everything above for a whole environment, and that shell and env lie in the closure.
[[nodiscard]] Status CheckBuiltEnvironment(const api::BuiltEnvironment& environment,
                                           const std::string& hash);

}  // namespace envicutor::agent

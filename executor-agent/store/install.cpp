#include "executor-agent/store/install.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "common/api/limits.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "executor-agent/store/captured.h"
#include "executor-agent/store/environment_store.h"
#include "executor-agent/store/store_lock.h"
#include "executor-agent/store/view.h"

namespace envicutor::agent {
namespace {

// "NAME:base64" of `nix path-info`'s signatures, the names once each.
void AddSigners(const Json& info, std::set<std::string>* names) {
  const Json& signatures = At(info, {"signatures"});
  if (!signatures.is_array()) return;
  for (const Json& signature : signatures) {
    if (!signature.is_string()) continue;
    const std::string& text = signature.get_ref<const std::string&>();
    names->insert(text.substr(0, text.find(':')).substr(0, 256));
  }
}

// `nix path-info --json`: a list of objects with "path" (Nix 2.8), or an object by path (2.19 and
// newer).
Status ReadPathInfo(const std::string& text, api::BuiltEnvironment* environment) {
  ENVICUTOR_ASSIGN(const Json json, ParseJson(text, 16));
  std::set<std::string> signers;
  environment->closure.clear();
  environment->closure_size_bytes = 0;
  const auto add = [&](const std::string& path, const Json& info) -> Status {
    ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(path));
    if (!info.is_object()) return Internal("nix path-info says that " + path + " is not valid");
    environment->closure.push_back(path);
    environment->closure_size_bytes += GetInt(info, "narSize");
    if (path == environment->store_path) AddSigners(info, &signers);
    return OkStatus();
  };
  if (json.is_array()) {
    for (const Json& info : json) ENVICUTOR_RETURN_IF_ERROR(add(GetString(info, "path"), info));
  } else if (json.is_object()) {
    for (const auto& [path, info] : json.items()) ENVICUTOR_RETURN_IF_ERROR(add(path, info));
  }
  if (environment->closure.empty()) return Internal("nix path-info names no paths");
  for (const std::string& name : signers) {
    environment->signed_by += (environment->signed_by.empty() ? "" : " ") + name;
  }
  return OkStatus();
}

Status KeepFromGarbageCollection(const StoreLayout& layout,
                                 const api::BuiltEnvironment& environment) {
  const std::string link = layout.RootsDir() + "/" + environment.hash;
  const std::string unfinished = link + ".new";
  if (::unlink(unfinished.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, unfinished);
  if (::symlink(environment.store_path.c_str(), unfinished.c_str()) != 0 ||
      ::rename(unfinished.c_str(), link.c_str()) != 0) {
    return ErrnoStatus(errno, link);
  }
  return OkStatus();
}

}  // namespace

Status MakeStoreFolders(const StoreLayout& layout) {
  for (const std::string& folder :
       {layout.NixDir(), layout.EnvironmentsDir(), layout.ViewsDir(), layout.RootsDir()}) {
    ENVICUTOR_RETURN_IF_ERROR(MakeDirs(folder));
  }
  return OkStatus();
}

std::optional<api::BuiltEnvironment> FindInstalled(const StoreLayout& layout,
                                                   const std::string& hash) {
  const auto store = NewEnvironmentStore(layout.root());
  const Result<std::shared_ptr<const PreparedEnvironment>> found = store->Get(hash);
  if (!found.ok()) return std::nullopt;
  return (*found)->built;
}

int64_t InstalledBytes(const StoreLayout& layout, const std::string& hash) {
  if (!IsEnvironmentHash(hash)) return -1;
  const Result<std::string> text = ReadFile(layout.EnvironmentFile(hash));
  if (!text.ok()) return -1;
  const Result<Json> json = ParseJson(*text, 16);
  return json.ok() ? std::max<int64_t>(GetInt(*json, "closureSizeBytes"), 0) : -1;
}

Status InstallEnvironment(const StoreLayout& layout, const std::string& path_info,
                          int64_t max_closure_bytes, api::BuiltEnvironment* environment,
                          bool* captured_by_user) {
  *captured_by_user = false;
  ENVICUTOR_RETURN_IF_ERROR(ReadPathInfo(path_info, environment));
  *captured_by_user = true;
  if (environment->closure_size_bytes > max_closure_bytes) {
    return ResourceExhausted("the environment has " +
                             api::FormatQuantity(environment->closure_size_bytes) +
                             ", more than the maximum " + api::FormatQuantity(max_closure_bytes));
  }
  ENVICUTOR_ASSIGN(Captured captured, ReadCaptured(layout, environment->store_path));
  environment->shell = std::move(captured.shell);
  environment->env_binary = std::move(captured.env_binary);
  environment->variables = std::move(captured.variables);
  ENVICUTOR_RETURN_IF_ERROR(CheckBuiltEnvironment(*environment, environment->hash));
  *captured_by_user = false;
  // A builder and a substituter may both be at this: the second finds it done.
  ENVICUTOR_ASSIGN(const UniqueFd lock, LockStore(layout, StoreUse::kInstall, {}));
  if (std::optional<api::BuiltEnvironment> there = FindInstalled(layout, environment->hash)) {
    if (there->store_path == environment->store_path) {
      *environment = *std::move(there);
      return OkStatus();
    }
    // Another build of the same thing gave another path: the old one goes, if nothing runs in it.
    ENVICUTOR_RETURN_IF_ERROR(UninstallEnvironment(layout, environment->hash));
  }
  ENVICUTOR_RETURN_IF_ERROR(KeepFromGarbageCollection(layout, *environment));
  ENVICUTOR_RETURN_IF_ERROR(MakeView(layout, environment->hash, environment->closure));
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(layout.EnvironmentDir(environment->hash)));
  return WriteFileAtomic(layout.EnvironmentFile(environment->hash),
                         DumpJson(api::BuiltEnvironmentToJson(*environment)));
}

bool IsInUse(const StoreLayout& layout, const std::string& hash) {
  const UniqueFd file(
      ::open(layout.EnvironmentFile(hash).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  return file.valid() && ::flock(file.get(), LOCK_EX | LOCK_NB) != 0;
}

Status UninstallEnvironment(const StoreLayout& layout, const std::string& hash) {
  if (!IsEnvironmentHash(hash)) return InvalidArgument("not an environment's hash: " + hash);
  const UniqueFd in_use(
      ::open(layout.EnvironmentFile(hash).c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  // Runs hold it shared (environment_store.cpp). Held here until it is gone, so that none begins.
  if (in_use.valid() && ::flock(in_use.get(), LOCK_EX | LOCK_NB) != 0) {
    return Unavailable("environment " + hash + " is in use");
  }
  // In the order in which nobody sees half of it: first it is not ready, then it is not there.
  ENVICUTOR_RETURN_IF_ERROR(RemoveTree(layout.EnvironmentFile(hash)));
  ENVICUTOR_RETURN_IF_ERROR(RemoveTree(layout.EnvironmentDir(hash)));
  ENVICUTOR_RETURN_IF_ERROR(RemoveTree(layout.ViewDir(hash)));
  return RemoveTree(layout.RootsDir() + "/" + hash);
}

}  // namespace envicutor::agent

// An environment as the builder leaves it on a store volume and the agent uses it.
//
// Layout below the store root (`--store`, in `envicutor up` DATA/store; on a cluster a node's
// hostPath):
//   nix/                            a Nix chroot store (nix --store ROOT): ROOT/nix/store,
//   ROOT/nix/var environments/HASH/environment.json   this struct; written last, by rename: its
//   presence means ready views/HASH/                     the closure only, hard-linked: bound as
//   /nix/store in the box lock                            flock: one writer at a time
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"

namespace envicutor::api {

// Environment of docs/api.md, as written in a spec.
struct EnvironmentSpec {
  std::string shell;                  // text of a shell.nix, or
  std::vector<std::string> packages;  // attribute paths of nixpkgs
  std::string nixpkgs_url;            // the system's pin where empty
  std::string nixpkgs_sha256;
  std::vector<std::string> extra_packages;  // of a Submission: added to the runtime's environment
  std::string salt;                  // cache: false: the submission's uid, so that nobody shares it
  std::string node;                  // where it must be built, "": anywhere; not in the JSON
  int64_t build_timeout_millis = 0;  // 0: the system's
  int64_t build_memory_bytes = 0;
};
[[nodiscard]] Result<EnvironmentSpec> EnvironmentSpecFromJson(const Json& object,
                                                              std::string_view path);
[[nodiscard]] Json EnvironmentSpecToJson(const EnvironmentSpec& spec);
// Identity by content: the first 32 hex digits of SHA-256 over what decides the result (shell,
// packages and extra packages in order, salt, nixpkgs pin or `default_pin`, capture version), not
// time-outs or memory.
[[nodiscard]] std::string EnvironmentHash(const EnvironmentSpec& spec,
                                          std::string_view default_pin);

struct BuiltEnvironment {
  std::string hash;
  std::string store_path;  // the captured environment: its closure is the environment
  std::string shell;       // absolute path of bash inside /nix/store
  std::string
      env_binary;  // absolute path of `env` inside /nix/store (linked as /usr/bin/env), or ""
  std::map<std::string, std::string> variables;  // captured at build time
  std::vector<std::string> closure;              // store paths
  int64_t closure_size_bytes = 0;
  std::string signed_by;
};
[[nodiscard]] Json BuiltEnvironmentToJson(const BuiltEnvironment& environment);
[[nodiscard]] Result<BuiltEnvironment> BuiltEnvironmentFromJson(const Json& object);

}  // namespace envicutor::api

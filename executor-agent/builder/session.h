// One build's Nix: a root nix-daemon and an unprivileged evaluator in namespaces of their own.
//
// The session is a process tree whose root is PID 1 of a new PID namespace, so that ending that one
// process ends everything, whatever a build forked. Its mount namespace has our own /etc/passwd and
// /etc/group (the build users exist nowhere else) and, over /mnt, what Nix needs: the store,
// nixpkgs, the request, nix.conf. Evaluation runs as an untrusted user over the daemon's socket: it
// cannot write the store, read a root file, or turn the sandbox off. With a nixpkgs on disk, there
// is no network either.
//
// Publishing is a session of its own, after that of the build has ended to its last process: it has
// the key and the network, and runs no code of a user's.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace envicutor::agent {

// What a publishing session does with the closure of one store path of the store.
struct PublishSpec {
  std::string cache_url;   // file:///DIR, http(s)://HOST/, s3://BUCKET
  std::string secret_key;  // Nix's "name:base64"; "": only checks what the cache has
  std::string netrc;       // a netrc file's text; "": none
  bool contents = true;    // read every byte back, not only what is said of them
  std::string store_path;
};

struct SessionSpec {
  std::optional<PublishSpec> publish;  // then `files` and nixpkgs are not used
  // Folders that must not be seen in the session: what is in them is covered.
  std::vector<std::string> hidden_dirs;
  std::string store_root;   // absolute; nix/ below it is the store
  std::string nixpkgs_dir;  // absolute folder, or "" when nixpkgs_url is set
  std::string nixpkgs_url;
  std::string nixpkgs_sha256;                // "" only for the administrator's own pin
  std::map<std::string, std::string> files;  // the expression's folder; default.nix is evaluated
  bool network = false;
  std::string substituters;  // nix.conf's words; "" for none
  std::string trusted_public_keys;
  int64_t evaluation_memory_bytes = 0;
  int64_t memory_bytes = 0;        // of all processes; 0: only what the control group bounds
  int64_t timeout_millis = 0;      // of the session as a whole
  int64_t max_silent_seconds = 0;  // a build that says nothing for so long is ended by Nix
  int64_t max_log_bytes = 0;
  int64_t min_free_bytes = 0;  // the session ends when the store's file system has less
  int lock_fd = -1;  // stays open in the session, so that the store is locked while it lives
};

struct SessionResult {
  enum class Step { kStart, kFetch, kEvaluate, kBuild, kPublish, kVerify, kInspect, kDone };
  enum class Stopped { kNo, kTimeout, kLogTooLong, kDiskFull, kOutOfMemory };
  Step step = Step::kStart;  // the one that it ended in; kDone: everything went well
  Stopped stopped = Stopped::kNo;
  int exit_code = 0;  // of the failed step's command, when a signal did not end it
  int exit_signal = 0;
  std::string error;       // the session itself failed (kStart)
  std::string store_path;  // kDone
  std::string path_info;   // kDone: `nix path-info --json -r` of it, in the store or the cache
  rusage usage{};          // of what was waited for
};

// Blocks. `on_log` gets stdout and stderr of everything as it comes, on this thread.
[[nodiscard]] SessionResult RunSession(const SessionSpec& spec,
                                       const std::function<void(std::string_view)>& on_log);

}  // namespace envicutor::agent

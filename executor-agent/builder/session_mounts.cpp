#include "executor-agent/builder/session_mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "common/base/file.h"
#include "common/base/unique_fd.h"

namespace envicutor::agent {
namespace {

Status Mount(const std::string& source, const std::string& target, const char* type,
             unsigned long flags, const char* options) {
  if (::mount(source.c_str(), target.c_str(), type, flags, options) == 0) return OkStatus();
  return ErrnoStatus(errno, "mounting " + target);
}

// By descriptor, as /mnt itself may hold the source and is covered by then.
Status BindFd(const UniqueFd& source, const std::string& target) {
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(target));
  return Mount("/proc/self/fd/" + std::to_string(source.get()), target, nullptr, MS_BIND, nullptr);
}

Result<UniqueFd> OpenPath(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  return fd;
}

std::string NixConf(const SessionSpec& spec) {
  std::string conf =
      "build-users-group = nixbld\n"
      "sandbox = true\n"
      "sandbox-fallback = false\n"
      "sandbox-dev-shm-size = 256m\n"
      "sandbox-paths =\n"
      "extra-sandbox-paths =\n"
      "trusted-users = root\n"
      "allowed-users = *\n"
      "require-sigs = true\n"
      "restrict-eval = true\n"
      "allow-import-from-derivation = false\n"
      "experimental-features = nix-command\n"
      "max-jobs = auto\n"
      "cores = 0\n"
      "narinfo-cache-negative-ttl = 0\n"
      "connect-timeout = 15\n";
  conf += "substituters = " + spec.substituters + "\n";
  conf += "trusted-public-keys = " + spec.trusted_public_keys + "\n";
  if (spec.publish) {
    // Whether the cache has a path is asked each time, and soon given up when it does not answer.
    conf +=
        "narinfo-cache-positive-ttl = 0\ndownload-attempts = 3\nstalled-download-timeout = 60\n";
    conf += "netrc-file = " + std::string(kSessionNetrc) + "\n";
  }
  conf += "timeout = " + std::to_string(spec.timeout_millis / 1000 + 1) + "\n";
  conf += "max-silent-time = " + std::to_string(spec.max_silent_seconds) + "\n";
  conf += "max-build-log-size = " + std::to_string(spec.max_log_bytes) + "\n";
  // The pin's own address; nothing else is fetched in evaluation.
  if (!spec.nixpkgs_url.empty()) conf += "allowed-uris = " + spec.nixpkgs_url + "\n";
  return conf;
}

std::string Passwd() {
  std::string text = "root:x:0:0:root:/root:/bin/sh\n";
  text += "evaluator:x:" + std::to_string(kEvaluatorUid) + ":" + std::to_string(kEvaluatorUid) +
          "::" + kSessionHome + ":/bin/false\n";
  for (int i = 0; i < kBuildUsers; ++i) {
    text += "nixbld" + std::to_string(i + 1) +
            ":x:" + std::to_string(kFirstBuildUid + static_cast<uid_t>(i)) + ":" +
            std::to_string(kBuildGid) + "::/var/empty:/bin/false\n";
  }
  return text;
}

std::string Group() {
  std::string text = "root:x:0:\nevaluator:x:" + std::to_string(kEvaluatorUid) + ":\n";
  text += "nixbld:x:" + std::to_string(kBuildGid) + ":";
  for (int i = 0; i < kBuildUsers; ++i)
    text += (i > 0 ? ",nixbld" : "nixbld") + std::to_string(i + 1);
  return text + "\n";
}

Status ReplaceFile(const std::string& path, const std::string& name, const std::string& content) {
  const std::string ours = "/mnt/etc/" + name;
  ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(ours, content));
  return Mount(ours, path, nullptr, MS_BIND, nullptr);
}

// An empty folder over what must not be seen.
Status Hide(const std::string& folder) {
  if (::access(folder.c_str(), F_OK) != 0 && errno == ENOENT) return OkStatus();
  return Mount("tmpfs", folder, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
               "mode=0000,size=4k");
}

}  // namespace

Status EnterSessionMounts(const SessionSpec& spec) {
  ENVICUTOR_RETURN_IF_ERROR(Mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
  ENVICUTOR_ASSIGN(const UniqueFd nix, OpenPath(spec.store_root + "/nix"));
  ENVICUTOR_ASSIGN(const UniqueFd build, OpenPath(spec.store_root + "/build"));
  UniqueFd nixpkgs;
  UniqueFd cache;
  if (spec.publish && spec.publish->cache_url.rfind("file://", 0) == 0) {
    const std::string& url = spec.publish->cache_url;
    ENVICUTOR_ASSIGN(cache, OpenPath(url.substr(7, url.find('?') - 7)));
  }
  if (!spec.nixpkgs_dir.empty()) {
    Result<UniqueFd> opened = OpenPath(spec.nixpkgs_dir);
    if (!opened.ok()) {
      return opened.status().WithContext(
          "builder.nixpkgs is not on this node: put the folder into the store of every node that "
          "builds, or set builder.nixpkgs to the URL of an archive");
    }
    nixpkgs = std::move(*opened);
  }
  for (const std::string& folder : spec.hidden_dirs) ENVICUTOR_RETURN_IF_ERROR(Hide(folder));
  ENVICUTOR_RETURN_IF_ERROR(
      Mount("tmpfs", "/mnt", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=256m,nr_inodes=65536"));
  ENVICUTOR_RETURN_IF_ERROR(BindFd(nix, std::string(kSessionRoot) + "/nix"));
  ENVICUTOR_RETURN_IF_ERROR(BindFd(build, kSessionBuildDir));
  if (nixpkgs.valid()) {
    ENVICUTOR_RETURN_IF_ERROR(BindFd(nixpkgs, "/mnt/nixpkgs"));
    ENVICUTOR_RETURN_IF_ERROR(Mount("none", "/mnt/nixpkgs", nullptr,
                                    MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV,
                                    nullptr));
  }
  if (cache.valid()) ENVICUTOR_RETURN_IF_ERROR(BindFd(cache, kSessionCache));
  for (const char* folder : {"/mnt/request", "/mnt/etc", "/mnt/run", "/mnt/state", kSessionHome}) {
    ENVICUTOR_RETURN_IF_ERROR(MakeDirs(folder));
  }
  if (::chown(kSessionHome, kEvaluatorUid, kEvaluatorUid) != 0)
    return ErrnoStatus(errno, kSessionHome);
  for (const auto& [name, content] : spec.files) {
    ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic("/mnt/request/" + name, content));
  }
  ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic("/mnt/etc/nix.conf", NixConf(spec)));
  if (spec.publish) {
    ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(kSessionKey, spec.publish->secret_key, 0400));
    ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(kSessionNetrc, spec.publish->netrc, 0400));
  }
  ENVICUTOR_RETURN_IF_ERROR(ReplaceFile("/etc/passwd", "passwd", Passwd()));
  ENVICUTOR_RETURN_IF_ERROR(ReplaceFile("/etc/group", "group", Group()));
  if (::access("/etc/nsswitch.conf", F_OK) == 0) {
    ENVICUTOR_RETURN_IF_ERROR(ReplaceFile("/etc/nsswitch.conf", "nsswitch.conf",
                                          "passwd: files\ngroup: files\nhosts: files dns\n"));
  }
  return Mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr);
}

}  // namespace envicutor::agent

// A prepared mount namespace for each environment: a small read-only root with the closure at
// /nix/store. A run copies it (a dozen mounts) instead of making it.
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor-agent/spawner/keyed.h"
#include "executor-agent/spawner/spawner.h"

namespace envicutor::agent::native {
namespace {

struct Prepared {
  uint64_t id = 0;
  int fd = -1;
};
Prepared environments[kMaxEnvironments];

struct Device {
  const char* path;
  unsigned minor;
};
constexpr Device kDevices[] = {
    {"dev/null", 3}, {"dev/zero", 5}, {"dev/full", 7}, {"dev/random", 8}, {"dev/urandom", 9}};
struct Link {
  const char* target;
  const char* path;
};
constexpr Link kLinks[] = {{"/proc/self/fd", "dev/fd"},
                           {"/proc/self/fd/0", "dev/stdin"},
                           {"/proc/self/fd/1", "dev/stdout"},
                           {"/proc/self/fd/2", "dev/stderr"}};
constexpr const char* kFolders[] = {"bin",  "usr", "usr/bin", "etc", "dev",      "dev/shm",
                                    "proc", "tmp", "box",     "nix", "nix/store"};
constexpr char kHosts[] = "127.0.0.1 localhost box\n::1 localhost\n";
constexpr char kSwitch[] = "passwd: files\ngroup: files\nhosts: files\n";

struct Texts {  // the strings of the request
  const char* view;
  const char* shell;
  const char* env_binary;
  const char* passwd;
  const char* group;
};

Failure WriteText(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return LastError(path);
  const size_t length = strlen(text);
  const bool all = write(fd, text, length) == static_cast<ssize_t>(length);
  const Failure failure = all ? Failure{} : LastError(path);
  close(fd);
  return failure;
}

// Device nodes where they may be made, else bound from the host's /dev.
Failure MakeDevice(const Device& device) {
  if (mknod(device.path, S_IFCHR | 0666, makedev(1, device.minor)) == 0) {
    return chmod(device.path, 0666) == 0 ? Failure{} : LastError(device.path);
  }
  char host[64];
  snprintf(host, sizeof(host), "/%s", device.path);
  const int fd = open(device.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return LastError(device.path);
  close(fd);
  if (Mount(host, device.path, nullptr, MS_BIND, nullptr) != 0) return LastError(device.path);
  return {};
}

// In the current folder, which becomes the root.
Failure Fill(const Texts& texts) {
  for (const char* folder : kFolders) {
    if (mkdir(folder, 0755) != 0) return LastError(folder);
  }
  for (const Device& device : kDevices) {
    const Failure failure = MakeDevice(device);
    if (failure.error != 0) return failure;
  }
  for (const Link& link : kLinks) {
    if (symlink(link.target, link.path) != 0) return LastError(link.path);
  }
  if (texts.shell[0] != 0 && symlink(texts.shell, "bin/sh") != 0) return LastError("bin/sh");
  if (texts.env_binary[0] != 0 && symlink(texts.env_binary, "usr/bin/env") != 0) {
    return LastError("usr/bin/env");
  }
  const Link files[] = {{texts.passwd, "etc/passwd"},
                        {texts.group, "etc/group"},
                        {kHosts, "etc/hosts"},
                        {kSwitch, "etc/nsswitch.conf"}};
  for (const Link& file : files) {
    const Failure failure = WriteText(file.path, file.target);
    if (failure.error != 0) return failure;
  }
  if (Mount(texts.view, "nix/store", nullptr, MS_BIND, nullptr) != 0)
    return LastError("bind the store");
  if (Mount(nullptr, "nix/store", nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV,
            nullptr) != 0) {
    return LastError("make the store read-only");
  }
  return {};
}

Failure Build(const Texts& texts) {
  if (Unshare(CLONE_NEWNS) != 0) return LastError("unshare(CLONE_NEWNS)");
  char root[600];
  snprintf(root, sizeof(root), "%s/root", HubPath());
  // Device nodes live here, so no MS_NODEV; nothing in it is writable by anybody once it is
  // read-only.
  if (Mount("root", root, "tmpfs", MS_NOSUID | MS_NOATIME, "mode=0755,size=2m,nr_inodes=256") !=
      0) {
    return LastError("mount the root");
  }
  if (chdir(root) != 0) return LastError("chdir to the root");
  const Failure filled = Fill(texts);
  if (filled.error != 0) return filled;
  if (KeyedCall(SYS_pivot_root, ".", ".") != 0) return LastError("pivot_root");
  if (KeyedCall(SYS_umount2, ".", MNT_DETACH) != 0) return LastError("umount the old root");
  if (chdir("/") != 0) return LastError("chdir /");
  if (Mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, nullptr) != 0) {
    return LastError("make the root read-only");
  }
  return {};
}

bool Split(const char* payload, size_t size, Texts* texts) {
  const char** fields[] = {&texts->view, &texts->shell, &texts->env_binary, &texts->passwd,
                           &texts->group};
  const char* end = payload + size;
  for (const char** field : fields) {
    const size_t length = strnlen(payload, static_cast<size_t>(end - payload));
    if (payload + length >= end) return false;
    *field = payload;
    payload += length + 1;
  }
  return payload == end;
}

}  // namespace

int EnvironmentFd(uint64_t id) {
  for (const Prepared& prepared : environments) {
    if (prepared.fd >= 0 && prepared.id == id) return prepared.fd;
  }
  return -1;
}

void DropEnvironment(uint64_t id) {
  for (Prepared& prepared : environments) {
    if (prepared.fd < 0 || prepared.id != id) continue;
    close(prepared.fd);
    prepared.fd = -1;
  }
}

Failure MakeEnvironment(uint64_t id, const char* payload, size_t size) {
  Texts texts{};
  if (!Split(payload, size, &texts)) return {EINVAL, "environment request"};
  Prepared* slot = nullptr;
  for (Prepared& prepared : environments) {
    if (prepared.fd < 0) slot = &prepared;
  }
  if (slot == nullptr) return {ENOSPC, "environments"};
  char root[600];
  snprintf(root, sizeof(root), "%s/root", HubPath());
  if (mkdir(root, 0755) != 0 && errno != EEXIST) return LastError("mkdir for the root");

  // The helper makes the namespace and waits in it until it is held by a descriptor.
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) return LastError("pipe");
  int done[2];
  if (pipe2(done, O_CLOEXEC) != 0) return LastError("pipe");
  const pid_t pid = fork();
  if (pid < 0) return LastError("fork");
  if (pid == 0) {
    close(done[1]);
    const Failure built = Build(texts);
    Reply result;
    result.error = built.error;
    strncpy(result.what.data(), built.what, result.what.size() - 1);
    (void)!write(ready[1], &result, sizeof(result));
    char byte;
    (void)!read(done[0], &byte, 1);
    _exit(0);
  }
  close(ready[1]);
  close(done[0]);
  static Reply result;  // outlives this call: Failure::what points into it
  Failure failure;
  if (read(ready[0], &result, sizeof(result)) != static_cast<ssize_t>(sizeof(result))) {
    failure = {EIO, "the helper for the environment died"};
  } else if (result.error != 0) {
    failure = {result.error, result.what.data()};
  } else {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
    slot->fd = open(path, O_RDONLY | O_CLOEXEC);
    slot->id = id;
    if (slot->fd < 0) failure = LastError(path);
  }
  close(ready[0]);
  close(done[1]);
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return failure;
}

}  // namespace envicutor::agent::native

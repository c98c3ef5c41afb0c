#include "standalone/node/init/root_fs.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <utility>

namespace envicutor::standalone {
namespace {

// Program folders of the host; on a merged-/usr Debian all but /usr are symbolic links.
constexpr std::array kProgramDirs = {"/usr",   "/bin",   "/sbin",  "/lib",
                                     "/lib32", "/lib64", "/libx32"};

// What of /etc programs need to run; no keys, no shadow files, no host's own services.
constexpr std::array kEtcEntries = {"alternatives",   "ca-certificates", "ca-certificates.conf",
                                    "debian_version", "group",           "hosts",
                                    "host.conf",      "ld.so.cache",     "ld.so.conf",
                                    "ld.so.conf.d",   "localtime",       "mime.types",
                                    "nsswitch.conf",  "os-release",      "passwd",
                                    "protocols",      "resolv.conf",     "services",
                                    "ssl/certs",      "ssl/openssl.cnf", "timezone"};

constexpr std::array kDevices = {"null", "zero", "full", "random", "urandom", "tty"};

Status Mount(const char* source, const std::string& target, const char* type, unsigned long flags,
             const std::string& data = "") {
  if (::mount(source, target.c_str(), type, flags, data.empty() ? nullptr : data.c_str()) != 0) {
    return ErrnoStatus(errno, "mount " + std::string(source) + " on " + target);
  }
  return OkStatus();
}

bool IsDirectory(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Status Bind(const std::string& source, const std::string& target, bool read_only) {
  if (!Exists(source)) return NotFound("mount " + source + ": it does not exist on the host");
  ENVICUTOR_RETURN_IF_ERROR(MakeMountPoint(target, !IsDirectory(source)));
  ENVICUTOR_RETURN_IF_ERROR(Mount(source.c_str(), target, nullptr, MS_BIND | MS_REC));
  if (!read_only) return OkStatus();
  // A bind takes its flags in a second step, and must keep those that are locked on the source.
  return Mount("none", target, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID);
}

Status BindPrograms(const std::string& root) {
  for (const char* dir : kProgramDirs) {
    struct stat info {};
    if (::lstat(dir, &info) != 0) continue;
    if (S_ISLNK(info.st_mode)) {
      std::array<char, 256> link{};
      const ssize_t length = ::readlink(dir, link.data(), link.size() - 1);
      if (length <= 0 || ::symlink(link.data(), (root + dir).c_str()) != 0) {
        return ErrnoStatus(errno, std::string("link ") + dir);
      }
      continue;
    }
    ENVICUTOR_RETURN_IF_ERROR(Bind(dir, root + dir, true));
  }
  for (const char* entry : kEtcEntries) {
    const std::string path = std::string("/etc/") + entry;
    if (!Exists(path)) continue;
    ENVICUTOR_RETURN_IF_ERROR(Bind(path, root + path, true));
  }
  return OkStatus();
}

Status MakeDev(const LaunchPlan& plan, const std::string& dev) {
  ENVICUTOR_RETURN_IF_ERROR(MakeMountPoint(dev, false));
  ENVICUTOR_RETURN_IF_ERROR(Mount("tmpfs", dev, "tmpfs", MS_NOSUID, "mode=755,size=64k"));
  for (const char* name : kDevices) {
    ENVICUTOR_RETURN_IF_ERROR(Bind(std::string("/dev/") + name, dev + "/" + name, false));
  }
  // A container of its own right may use these; a machine's kernel needs the tap device.
  if (plan.privileged || plan.machine) {
    for (const char* name : {"net/tun", "kvm", "fuse"}) {
      const std::string path = std::string("/dev/") + name;
      if (Exists(path)) ENVICUTOR_RETURN_IF_ERROR(Bind(path, dev + "/" + name, false));
    }
  }
  const std::pair<const char*, const char*> links[] = {{"/proc/self/fd", "/fd"},
                                                       {"/proc/self/fd/0", "/stdin"},
                                                       {"/proc/self/fd/1", "/stdout"},
                                                       {"/proc/self/fd/2", "/stderr"},
                                                       {"pts/ptmx", "/ptmx"}};
  for (const auto& [to, name] : links) {
    if (::symlink(to, (dev + name).c_str()) != 0) return ErrnoStatus(errno, "link " + dev + name);
  }
  ENVICUTOR_RETURN_IF_ERROR(MakeMountPoint(dev + "/pts", false));
  ENVICUTOR_RETURN_IF_ERROR(Mount("devpts", dev + "/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                                  "newinstance,ptmxmode=0666,mode=620,gid=5"));
  ENVICUTOR_RETURN_IF_ERROR(MakeMountPoint(dev + "/shm", false));
  // A machine's memory is a file here, mapped executable.
  const std::string size =
      plan.machine ? std::to_string(plan.machine->memory_bytes + (64LL << 20)) : "50%";
  return Mount("tmpfs", dev + "/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=" + size);
}

Status MakeSkeleton(const LaunchPlan& plan, const std::string& root) {
  ENVICUTOR_RETURN_IF_ERROR(
      Mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m"));
  for (const char* dir : {"/etc", "/proc", "/sys", "/dev", "/run", "/tmp", "/root", "/home", "/mnt",
                          "/opt", "/srv", "/var/lib", "/var/log", "/var/cache", "/var/tmp"}) {
    ENVICUTOR_RETURN_IF_ERROR(MakeMountPoint(root + dir, false));
  }
  // Relative: an absolute one would lead to the host's while the root is not entered yet.
  if (::symlink("../run", (root + "/var/run").c_str()) != 0)
    return ErrnoStatus(errno, "link /var/run");
  ENVICUTOR_RETURN_IF_ERROR(BindPrograms(root));
  ENVICUTOR_RETURN_IF_ERROR(Bind(plan.bin_dir, root + kPodBinDir, true));
  ENVICUTOR_RETURN_IF_ERROR(
      Mount("proc", root + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC));
  // /sys with the control groups: a privileged pod sees the node's, as on a cluster.
  ENVICUTOR_RETURN_IF_ERROR(Mount("/sys", root + "/sys", nullptr, MS_BIND | MS_REC));
  if (!plan.privileged) {
    ENVICUTOR_RETURN_IF_ERROR(
        Mount("none", root + "/sys", nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY));
  }
  ENVICUTOR_RETURN_IF_ERROR(MakeDev(plan, root + "/dev"));
  for (const char* dir : {"/tmp", "/var/tmp"}) {
    ENVICUTOR_RETURN_IF_ERROR(
        Mount("tmpfs", root + dir, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=50%"));
  }
  return Mount("tmpfs", root + "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64m");
}

}  // namespace

Status MakeMountPoint(const std::string& path, bool as_file) {
  for (size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    const std::string parent = path.substr(0, at);
    if (::mkdir(parent.c_str(), 0755) != 0 && errno != EEXIST) {
      return ErrnoStatus(errno, "make folder " + parent);
    }
  }
  if (!as_file) {
    if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return OkStatus();
    return ErrnoStatus(errno, "make folder " + path);
  }
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return ErrnoStatus(errno, "make file " + path);
  ::close(fd);
  return OkStatus();
}

Status EnterPodRoot(const LaunchPlan& plan) {
  const std::string& root = plan.root_dir;
  ENVICUTOR_RETURN_IF_ERROR(Mount("none", "/", nullptr, MS_REC | MS_PRIVATE));
  ENVICUTOR_RETURN_IF_ERROR(MakeSkeleton(plan, root));
  for (const PodMount& mount : plan.mounts) {
    const std::string target = root + mount.target;
    if (!mount.tmpfs) {
      ENVICUTOR_RETURN_IF_ERROR(Bind(mount.source, target, mount.read_only));
      continue;
    }
    ENVICUTOR_RETURN_IF_ERROR(MakeMountPoint(target, false));
    const std::string size =
        mount.tmpfs_bytes > 0 ? std::to_string(mount.tmpfs_bytes) : std::string("50%");
    ENVICUTOR_RETURN_IF_ERROR(
        Mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=" + size));
  }
  // The skeleton stays writable: it is the container's own layer, 16 MiB of memory at most.
  if (::chdir(root.c_str()) != 0) return ErrnoStatus(errno, "enter " + root);
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return ErrnoStatus(errno, "pivot_root to " + root);
  if (::umount2(".", MNT_DETACH) != 0) return ErrnoStatus(errno, "detach the host's root");
  if (::chdir("/") != 0) return ErrnoStatus(errno, "enter /");
  return OkStatus();
}

}  // namespace envicutor::standalone

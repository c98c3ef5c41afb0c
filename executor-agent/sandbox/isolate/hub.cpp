// The folder that only isolate sees (engine.h): its configuration, its own folders, what is bound
// into boxes, and a disk for each box.
//
//   config  locks/  root/        isolate's
//   meta/ID                      what isolate says of a run: never in a box
//   etc/  dev/  extract/         bound into boxes, read-only
//   bin/ID/  usrbin/ID/          /bin and /usr/bin of a box
//   disks/ID                     a tmpfs with box/, tmp/ and shm/
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/base/file.h"
#include "common/base/log.h"
#include "executor-agent/sandbox/isolate/engine.h"
#include "executor-agent/sandbox/shared.h"

namespace envicutor::agent::isolate {
namespace {

constexpr int64_t kMinDisk = 64 << 10;
constexpr int64_t kMinInodes = 4096;
constexpr int64_t kMaxInodes = 262'144;
constexpr int64_t kBytesAnInode = 4096;
constexpr size_t kMaxExtractor = 64U << 20U;

struct Device {
  const char* name;
  unsigned minor;
};
constexpr std::array<Device, 5> kDevices{
    {{"null", 3}, {"zero", 5}, {"full", 7}, {"random", 8}, {"urandom", 9}}};
constexpr std::array<std::array<const char*, 2>, 4> kLinks{{{"/proc/self/fd", "fd"},
                                                            {"/proc/self/fd/0", "stdin"},
                                                            {"/proc/self/fd/1", "stdout"},
                                                            {"/proc/self/fd/2", "stderr"}}};
constexpr char kHosts[] = "127.0.0.1 localhost box\n::1 localhost\n";
constexpr char kSwitch[] = "passwd: files\ngroup: files\nhosts: files\n";
// Where isolate's builds look for their configuration: upstream's Makefile, the Debian package.
constexpr char kUpstreamFolder[] = "/usr/local/etc";
constexpr char kUpstreamConfig[] = "/usr/local/etc/isolate";
constexpr char kPackageConfig[] = "/etc/isolate";

Status WriteText(const std::string& path, const std::string& text, unsigned mode) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(fd.get(), text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return ErrnoStatus(errno, path);
    done += static_cast<size_t>(wrote);
  }
  return ::fchmod(fd.get(), mode) == 0 ? OkStatus() : ErrnoStatus(errno, path);
}

Status MakeDevices(const std::string& folder) {
  for (const Device& device : kDevices) {
    const std::string path = folder + "/" + device.name;
    if (::mknod(path.c_str(), S_IFCHR | 0666, makedev(1, device.minor)) != 0 ||
        ::chmod(path.c_str(), 0666) != 0) {
      return ErrnoStatus(errno, path);
    }
  }
  for (const auto& [target, name] : kLinks) {
    if (::symlink(target, (folder + "/" + name).c_str()) != 0) return ErrnoStatus(errno, name);
  }
  return MakeDirs(folder + "/shm");
}

Status Link(int folder, const char* name, const std::string& target) {
  if (::unlinkat(folder, name, 0) != 0 && errno != ENOENT) return ErrnoStatus(errno, name);
  if (target.empty()) return OkStatus();
  return ::symlinkat(target.c_str(), folder, name) == 0 ? OkStatus() : ErrnoStatus(errno, name);
}

Status MakeDiskFolder(int top, const char* name, unsigned mode, unsigned uid) {
  if (::mkdirat(top, name, 0700) != 0) return ErrnoStatus(errno, "mkdir in the box");
  ENVICUTOR_ASSIGN(const UniqueFd folder, OpenFolder(top, name));
  if (::fchown(folder.get(), uid, uid) != 0 || ::fchmod(folder.get(), mode) != 0)
    return ErrnoStatus(errno, "chown in the box");
  return OkStatus();
}

}  // namespace

Status Engine::FillHub() {
  // Device nodes are in it, so no MS_NODEV; only root gets here.
  if (::mount("envicutor", hub_.c_str(), "tmpfs", MS_NOSUID, "mode=0700") != 0)
    return ErrnoStatus(errno, "mount isolate's folder");
  hub_fd_ = UniqueFd(::open(hub_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!hub_fd_.valid()) return ErrnoStatus(errno, hub_);
  for (const char* name :
       {"locks", "root", "meta", "etc", "dev", "extract", "bin", "usrbin", "disks"}) {
    ENVICUTOR_RETURN_IF_ERROR(MakeDirs(Path(name)));
  }
  const auto count = static_cast<unsigned>(ids_.size());
  for (unsigned id = 0; id < count; ++id) {
    for (const char* name : {"bin/", "usrbin/", "disks/"}) {
      ENVICUTOR_RETURN_IF_ERROR(MakeDirs(Path(name + std::to_string(id))));
    }
  }
  ENVICUTOR_RETURN_IF_ERROR(MakeDevices(Path("dev")));
  for (const auto& [name, text] :
       {std::pair<const char*, std::string>{"etc/passwd", BoxPasswd(options_.first_uid, count)},
        {"etc/group", BoxGroups(options_.first_uid, count)},
        {"etc/hosts", kHosts},
        {"etc/nsswitch.conf", kSwitch}}) {
    ENVICUTOR_RETURN_IF_ERROR(WriteText(Path(name), text, 0644));
  }
  const Result<std::string> extractor = ReadFile(extractor_path_, kMaxExtractor);
  has_extractor_ = extractor.ok();
  if (!has_extractor_) return OkStatus();
  return WriteText(Path("extract/envicutor-extract"), *extractor, 0755);
}

Status Engine::ShowConfig() {
  const std::string first = std::to_string(options_.first_uid);
  const std::string text = "box_root=" + Path("root") + "\nlock_root=" + Path("locks") +
                           "\ncg_root=" + cg_root_ + "\nfirst_uid=" + first +
                           "\nfirst_gid=" + first + "\nnum_boxes=" + std::to_string(ids_.size()) +
                           "\nrestricted_init=1\n";
  const std::string config = Path("config");
  ENVICUTOR_RETURN_IF_ERROR(WriteText(config, text, 0644));
  bool shown = false;
  // The folder is covered as a whole, so that a file that is not there needs not be made.
  if (::mount("envicutor", kUpstreamFolder, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=64k") ==
      0) {
    ENVICUTOR_RETURN_IF_ERROR(WriteText(kUpstreamConfig, text, 0644));
    shown = true;
  }
  if (::access(kPackageConfig, F_OK) == 0) {
    if (::mount(config.c_str(), kPackageConfig, nullptr, MS_BIND, nullptr) != 0)
      return ErrnoStatus(errno, kPackageConfig);
    shown = true;
  }
  if (shown) return OkStatus();
  return FailedPrecondition(
      "isolate cannot be given a configuration: there is neither /usr/local/etc nor /etc/isolate");
}

Result<UniqueFd> Engine::MountDisk(unsigned id, int64_t bytes) {
  const std::string path = Path("disks/" + std::to_string(id));
  const int64_t size = std::max(bytes, kMinDisk);
  const std::string options =
      "mode=0711,size=" + std::to_string(size) +
      ",nr_inodes=" + std::to_string(std::clamp(size / kBytesAnInode, kMinInodes, kMaxInodes));
  UniqueFd top;
  ENVICUTOR_RETURN_IF_ERROR(launcher_->Do([&]() -> Status {
    if (::mount("box", path.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
      return ErrnoStatus(errno, "mount a box's disk");
    top = UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return top.valid() ? OkStatus() : ErrnoStatus(errno, path);
  }));
  const unsigned uid = Uid(id);
  Status made = MakeDiskFolder(top.get(), "box", 0755, uid);
  if (made.ok()) made = MakeDiskFolder(top.get(), "tmp", 01777, uid);
  if (made.ok()) made = MakeDiskFolder(top.get(), "shm", 01777, uid);
  if (made.ok()) return top;
  top.reset();
  UnmountDisk(id);
  return made;
}

void Engine::UnmountDisk(unsigned id) {
  const std::string path = Path("disks/" + std::to_string(id));
  const Status done = launcher_->Do([&]() -> Status {
    return ::umount2(path.c_str(), MNT_DETACH) == 0 ? OkStatus() : ErrnoStatus(errno, path);
  });
  if (!done.ok()) log::Error("box not removed", {{"error", done.ToString()}});
}

Status Engine::LinkTools(unsigned id, const BoxEnvironment& environment) {
  const std::string number = std::to_string(id);
  const UniqueFd bin(
      ::openat(hub_fd_.get(), ("bin/" + number).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd usr(
      ::openat(hub_fd_.get(), ("usrbin/" + number).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!bin.valid() || !usr.valid()) return ErrnoStatus(errno, "open the tools of a box");
  ENVICUTOR_RETURN_IF_ERROR(Link(bin.get(), "sh", environment.shell));
  return Link(usr.get(), "env", environment.env_binary);
}

}  // namespace envicutor::agent::isolate

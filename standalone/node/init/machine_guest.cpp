#include "standalone/node/init/machine_guest.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>

#include "common/base/unique_fd.h"
#include "standalone/node/init/child.h"
#include "standalone/node/init/root_fs.h"
#include "standalone/node/init/tap.h"

namespace envicutor::standalone {
namespace {

constexpr char kGroups[] = "/sys/fs/cgroup";
constexpr char kPodGroup[] = "/sys/fs/cgroup/pod";
constexpr int kByeMillis = 5000;

Status Mount(const char* type, const std::string& target, unsigned long flags,
             const char* data = nullptr) {
  ENVICUTOR_RETURN_IF_ERROR(MakeMountPoint(target, false));
  // EBUSY: the kernel did it (devtmpfs).
  if (::mount(type, target.c_str(), type, flags, data) != 0 && errno != EBUSY) {
    return ErrnoStatus(errno, std::string("in the machine: mount ") + type + " on " + target);
  }
  return OkStatus();
}

Status MountAll() {
  constexpr unsigned long kPlain = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  ENVICUTOR_RETURN_IF_ERROR(Mount("proc", "/proc", kPlain));
  ENVICUTOR_RETURN_IF_ERROR(Mount("sysfs", "/sys", kPlain));
  ENVICUTOR_RETURN_IF_ERROR(Mount("cgroup2", kGroups, kPlain));
  ENVICUTOR_RETURN_IF_ERROR(Mount("devtmpfs", "/dev", MS_NOSUID));
  ENVICUTOR_RETURN_IF_ERROR(
      Mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666,mode=620,gid=5"));
  ENVICUTOR_RETURN_IF_ERROR(Mount("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"));
  ENVICUTOR_RETURN_IF_ERROR(Mount("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=755,size=64m"));
  return Mount("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
}

Status WriteControl(const std::string& path, const std::string& value) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() || ::write(fd.get(), value.data(), value.size()) < 0) {
    return ErrnoStatus(errno, "in the machine: write " + value + " to " + path);
  }
  return OkStatus();
}

Status MakePodGroup(const MachinePlan& machine) {
  for (const char* controller : {"+cpu", "+io", "+memory", "+pids"}) {
    ENVICUTOR_RETURN_IF_ERROR(
        WriteControl(std::string(kGroups) + "/cgroup.subtree_control", controller));
  }
  ENVICUTOR_RETURN_IF_ERROR(MakeMountPoint(kPodGroup, false));
  // As the kubelet does: running out at the pod's own limit ends the whole container.
  ENVICUTOR_RETURN_IF_ERROR(WriteControl(std::string(kPodGroup) + "/memory.oom.group", "1"));
  if (machine.group_memory_bytes <= 0) return OkStatus();
  return WriteControl(std::string(kPodGroup) + "/memory.max",
                      std::to_string(machine.group_memory_bytes));
}

// True when the kernel killed for memory in the pod's own group (not in a box's below it).
bool OomKilled() {
  const UniqueFd fd(
      ::open((std::string(kPodGroup) + "/memory.events.local").c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 1024> buffer{};
  if (!fd.valid()) return false;
  const ssize_t length = ::read(fd.get(), buffer.data(), buffer.size() - 1);
  if (length <= 0) return false;
  const std::string text(buffer.data(), static_cast<size_t>(length));
  const size_t at = text.find("oom_kill ");
  return at != std::string::npos && text.compare(at + 9, 1, "0") != 0;
}

Result<std::string> ReadPlanCopy() {
  const UniqueFd fd(::open(kMachinePlanPath, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, std::string("in the machine: ") + kMachinePlanPath);
  std::string text;
  std::array<char, 4096> buffer{};
  ssize_t length = 0;
  while ((length = ::read(fd.get(), buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<size_t>(length));
  }
  return text;
}

// A terminal that passes bytes as they are.
int OpenLine(const char* path, int flags) {
  const int fd = ::open(path, flags | O_NOCTTY | O_CLOEXEC);
  termios mode{};
  if (fd >= 0 && ::tcgetattr(fd, &mode) == 0) {
    ::cfmakeraw(&mode);
    ::tcsetattr(fd, TCSANOW, &mode);
  }
  return fd;
}

class Guest {
 public:
  Guest() : serial_(-1) {}

  void Run() {
    const Result<LaunchPlan> plan = Prepare();
    if (!plan.ok())
      return End({.type = InitEvent::Type::kError, .message = plan.status().message()});
    const Result<int> signals = SignalFd();
    if (!signals.ok()) {
      return End({.type = InitEvent::Type::kError, .message = signals.status().message()});
    }
    const int output = OpenLine("/dev/ttyS1", O_WRONLY);
    const Result<pid_t> pid = StartCommand(*plan, [output] {
      if (output >= 0) {
        ::dup2(output, 1);
        ::dup2(output, 2);
      }
      return WriteControl(std::string(kPodGroup) + "/cgroup.procs", "0");
    });
    if (!pid.ok()) return End({.type = InitEvent::Type::kError, .message = pid.status().message()});
    WriteAll(serial_, InitEventToLine({.type = InitEvent::Type::kStarted}));
    InitEvent event = Supervise(*signals, *pid);
    if (event.signal == SIGKILL) event.oom_killed = OomKilled();
    if (output >= 0) ::tcdrain(output);
    End(event);
  }

 private:
  Result<LaunchPlan> Prepare() {
    const Result<std::string> text = ReadPlanCopy();
    const Status mounted = MountAll();
    serial_ = OpenLine("/dev/ttyS0", O_RDWR);
    ENVICUTOR_RETURN_IF_ERROR(mounted);
    if (!text.ok()) return text.status();
    ENVICUTOR_ASSIGN(LaunchPlan plan, LaunchPlanFromJson(*text));
    if (!plan.machine) return InvalidArgument("the plan has no machine");
    if (::sethostname(plan.hostname.c_str(), plan.hostname.size()) != 0) {
      return ErrnoStatus(errno, "sethostname " + plan.hostname);
    }
    ENVICUTOR_RETURN_IF_ERROR(BringUp("lo"));
    ENVICUTOR_RETURN_IF_ERROR(ConfigureInterface("vec0", plan.machine->guest_address));
    ENVICUTOR_RETURN_IF_ERROR(MakePodGroup(*plan.machine));
    return plan;
  }

  InitEvent Supervise(int signals, pid_t main_pid) const {
    while (true) {
      std::array<pollfd, 2> polled{pollfd{signals, POLLIN, 0}, pollfd{serial_, POLLIN, 0}};
      if (::poll(polled.data(), polled.size(), -1) < 0) continue;
      if (polled[1].revents != 0) {
        std::array<char, 64> buffer{};
        if (::read(serial_, buffer.data(), buffer.size()) > 0) ::kill(main_pid, SIGTERM);
      }
      signalfd_siginfo info{};
      while (::read(signals, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
      }
      int status = 0;
      if (ReapUntilMain(main_pid, &status)) return ExitEvent(status);
    }
  }

  // Waits until the outside has it: what is in a line's buffer is lost at power-off.
  void End(const InitEvent& event) const {
    if (serial_ < 0) return;
    WriteAll(serial_, InitEventToLine(event));
    pollfd polled{serial_, POLLIN, 0};
    ::poll(&polled, 1, kByeMillis);
  }

  int serial_;
};

}  // namespace

void GuestInitMain() {
  Guest().Run();
  ::sync();
  while (true) ::reboot(RB_POWER_OFF);
}

}  // namespace envicutor::standalone

#include "standalone/node/init/machine_host.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>

#include "common/base/unique_fd.h"
#include "standalone/node/init/child.h"
#include "standalone/node/init/root_fs.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kConsoleTail = 2048;
constexpr size_t kMaxLine = 64U << 10U;

InitEvent Error(std::string message) {
  return {.type = InitEvent::Type::kError, .message = std::move(message)};
}

Status WritePlanCopy(const std::string& text) {
  ENVICUTOR_RETURN_IF_ERROR(MakeMountPoint("/run/envicutor", false));
  const UniqueFd fd(::open(kMachinePlanPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, std::string("write ") + kMachinePlanPath);
  WriteAll(fd.get(), text);
  return OkStatus();
}

// What runs outside while the machine runs.
class Machine {
 public:
  Machine(int signals, pid_t pid, UniqueFd serial, UniqueFd console, NodeLink& node)
      : signals_(signals),
        pid_(pid),
        serial_(std::move(serial)),
        console_(std::move(console)),
        node_(node) {}

  InitEvent Run() {
    int status = 0;
    while (!Step(&status)) {
    }
    ReadConsole();
    if (end_) return *end_;
    InitEvent event = ExitEvent(status);
    event.message = "the machine stopped without a word from its init: " + tail_;
    if (!started_) event.type = InitEvent::Type::kError;
    if (event.exit_code == 0) event.exit_code = 255;
    return event;
  }

 private:
  bool Step(int* status) {
    std::array<pollfd, 4> polled{pollfd{signals_, POLLIN, 0}, pollfd{node_.fd(), POLLIN, 0},
                                 pollfd{serial_open_ ? serial_.get() : -1, POLLIN, 0},
                                 pollfd{console_open_ ? console_.get() : -1, POLLIN, 0}};
    if (::poll(polled.data(), polled.size(), node_.timeout()) < 0) return false;
    if (polled[1].revents != 0 && node_.Terminates()) Terminate();
    node_.Watch();
    if (polled[2].revents != 0) ReadSerial();
    if (polled[3].revents != 0) ReadConsole();
    if (polled[0].revents == 0) return false;
    signalfd_siginfo info{};
    while (::read(signals_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
      if (info.ssi_signo != SIGCHLD) Terminate();
    }
    return ReapUntilMain(pid_, status);
  }

  void Terminate() {
    if (!started_) ::kill(pid_, SIGKILL);  // its init does not listen yet
    WriteAll(serial_.get(), "TERM\n");
  }

  void ReadSerial() {
    std::array<char, 4096> buffer{};
    const ssize_t length = ::read(serial_.get(), buffer.data(), buffer.size());
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (length <= 0 || line_.size() > kMaxLine) {
      serial_open_ = false;
      return;
    }
    line_.append(buffer.data(), static_cast<size_t>(length));
    for (size_t at = 0; (at = line_.find('\n')) != std::string::npos; line_.erase(0, at + 1)) {
      Take(line_.substr(0, at));
    }
  }

  void Take(const std::string& line) {
    const Result<InitEvent> event = InitEventFromLine(line);
    if (!event.ok()) return;
    if (event->type == InitEvent::Type::kStarted) {
      started_ = true;
      node_.Report(*event);
      return;
    }
    if (!end_) end_ = *event;
    // The machine waits for this, so that the event is not lost in a buffer when it powers off.
    WriteAll(serial_.get(), "BYE\n");
  }

  void ReadConsole() {
    std::array<char, 4096> buffer{};
    const ssize_t length = ::read(console_.get(), buffer.data(), buffer.size());
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (length <= 0) {
      console_open_ = false;
      return;
    }
    tail_.append(buffer.data(), static_cast<size_t>(length));
    if (tail_.size() > kConsoleTail) tail_.erase(0, tail_.size() - kConsoleTail);
  }

  int signals_;
  pid_t pid_;
  UniqueFd serial_;
  UniqueFd console_;
  NodeLink& node_;
  bool serial_open_ = true;
  bool console_open_ = true;
  bool started_ = false;
  std::string line_;
  std::string tail_;
  std::optional<InitEvent> end_;
};

std::vector<std::string> KernelCommand(const MachinePlan& machine, int serial, int console) {
  const std::string serial_fd = "fd:" + std::to_string(serial);
  return {machine.kernel,
          "mem=" + std::to_string(machine.memory_bytes >> 10) + "K",
          "root=/dev/root",
          "rootfstype=hostfs",
          "rootflags=/",
          "rw",
          "quiet",
          "panic=1",
          std::string("init=") + kPodBinDir + "/envicutor-pod-init",
          "con0=null,fd:" + std::to_string(console),
          "con=null",
          "ssl0=" + serial_fd + "," + serial_fd,
          "ssl1=null,fd:1",
          "ssl=null",
          std::string("vec0:transport=tap,ifname=") + kTapName + ",depth=128,gro=1",
          "--",
          "machine"};
}

}  // namespace

InitEvent RunMachine(const LaunchPlan& plan, const std::string& plan_text, int signals,
                     NodeLink& node) {
  if (const Status status = WritePlanCopy(plan_text); !status.ok()) return Error(status.message());
  std::array<int, 2> serial{};
  std::array<int, 2> console{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, serial.data()) != 0 ||
      ::pipe2(console.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    return Error(ErrnoStatus(errno, "the machine's lines").message());
  }
  LaunchPlan kernel;
  kernel.argv = KernelCommand(*plan.machine, serial[1], console[1]);
  kernel.env = {"PATH=/usr/bin:/bin", "HOME=/run", "TMPDIR=/dev/shm"};
  // StartCommand closes what is above 2 on exec; these two are the exception.
  const Result<pid_t> pid =
      StartCommand(kernel, [] { return OkStatus(); }, {serial[1], console[1]});
  ::close(serial[1]);
  ::close(console[1]);
  if (!pid.ok()) return Error("start User-Mode Linux: " + pid.status().message());
  return Machine(signals, *pid, UniqueFd(serial[0]), UniqueFd(console[0]), node).Run();
}

}  // namespace envicutor::standalone

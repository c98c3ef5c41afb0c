#include "standalone/node/init/host_init.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "common/base/unique_fd.h"
#include "standalone/node/init/capabilities.h"
#include "standalone/node/init/child.h"
#include "standalone/node/init/machine_host.h"
#include "standalone/node/init/node_link.h"
#include "standalone/node/init/root_fs.h"
#include "standalone/node/init/tap.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxPlanBytes = 8U << 20U;

Result<std::string> ReadPlan() {
  std::string text;
  std::array<char, 4096> buffer{};
  while (true) {
    const ssize_t length = ::read(kPlanFd, buffer.data(), buffer.size());
    if (length < 0 && errno == EINTR) continue;
    if (length < 0) return ErrnoStatus(errno, "read the plan");
    if (length == 0) break;
    text.append(buffer.data(), static_cast<size_t>(length));
    if (text.size() > kMaxPlanBytes) return ResourceExhausted("the plan is too large");
  }
  ::close(kPlanFd);
  return text;
}

int ReportError(NodeLink& node, const Status& status) {
  node.Report({.type = InitEvent::Type::kError, .message = status.message()});
  return 1;
}

// The end of the command; TERM from the node is passed on, by whichever way it comes.
InitEvent Supervise(NodeLink& node, int signals, pid_t main_pid) {
  while (true) {
    std::array<pollfd, 2> polled{pollfd{signals, POLLIN, 0}, pollfd{node.fd(), POLLIN, 0}};
    if (::poll(polled.data(), polled.size(), node.timeout()) < 0 && errno != EINTR) {
      return {.type = InitEvent::Type::kError, .message = "poll failed"};
    }
    if (polled[1].revents != 0 && node.Terminates()) ::kill(main_pid, SIGTERM);
    node.Watch();
    if (polled[0].revents != 0) {
      signalfd_siginfo info{};
      while (::read(signals, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
        if (info.ssi_signo != SIGCHLD) ::kill(main_pid, SIGTERM);
      }
      int status = 0;
      if (ReapUntilMain(main_pid, &status)) return ExitEvent(status);
    }
  }
}

Status Prepare(const LaunchPlan& plan) {
  if (plan.machine) {
    ENVICUTOR_RETURN_IF_ERROR(BringUp("lo"));
    ENVICUTOR_RETURN_IF_ERROR(MakeTap(kTapName));
    ENVICUTOR_RETURN_IF_ERROR(ConfigureInterface(kTapName, plan.machine->host_address));
  }
  ENVICUTOR_RETURN_IF_ERROR(EnterPodRoot(plan));
  if (!plan.hostname.empty() && ::sethostname(plan.hostname.c_str(), plan.hostname.size()) != 0) {
    return ErrnoStatus(errno, "set the host name");
  }
  return OkStatus();
}

}  // namespace

int HostInitMain(bool kept) {
  // Not to be traced or read by what it starts: it holds the node's control socket.
  ::prctl(PR_SET_DUMPABLE, 0);
  ::umask(022);
  NodeLink node(kept);
  node.WaitForGo();
  const Result<std::string> text = ReadPlan();
  if (!text.ok()) return ReportError(node, text.status());
  const Result<LaunchPlan> plan = LaunchPlanFromJson(*text);
  if (!plan.ok()) return ReportError(node, plan.status());
  const Result<int> signals = SignalFd();
  if (!signals.ok()) return ReportError(node, signals.status());
  if (const Status status = Prepare(*plan); !status.ok()) return ReportError(node, status);
  if (plan->machine) {
    node.ReportEnd(RunMachine(*plan, *text, *signals, node));
    return 0;
  }
  const Result<pid_t> pid =
      StartCommand(*plan, [&plan] { return plan->privileged ? OkStatus() : DropCapabilities(); });
  if (!pid.ok()) return ReportError(node, pid.status());
  node.Report({.type = InitEvent::Type::kStarted});
  node.ReportEnd(Supervise(node, *signals, *pid));
  return 0;
}

}  // namespace envicutor::standalone

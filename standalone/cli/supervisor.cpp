#include "standalone/cli/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "common/base/log.h"

extern char** environ;

namespace envicutor::standalone {
namespace {

constexpr std::chrono::seconds kStopGrace{20};
constexpr std::chrono::seconds kRanLongEnough{60};
// A busy child writes hundreds of lines a second: they are read together, this far apart at least.
constexpr Duration kQuiet = std::chrono::milliseconds(10);
constexpr std::chrono::seconds kNoTimer{3600};

sigset_t WatchedSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGCHLD, SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
  return set;
}

// In the child of a threaded process: system calls only.
[[noreturn]] void ExecChild(pid_t parent, int output, int null, char* const* argv,
                            char* const* envp) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // it died before the line above
  ::setsid();                               // the terminal's Ctrl-C is for the supervisor alone
  ::dup2(null, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  ::syscall(SYS_close_range, 3, ~0U, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  // A shell starts its background jobs with signals ignored, and exec keeps that.
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  ::execve(argv[0], argv, envp);
  ::_exit(127);
}

}  // namespace

Supervisor::Supervisor(const Clock& clock,
                       std::function<void(const std::vector<RunningChild>&)> on_change)
    : clock_(clock),
      on_change_(std::move(on_change)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Supervisor::~Supervisor() {
  for (Child& child : children_) {
    if (child.running) SendSignal(child.pidfd, SIGKILL);
  }
}

void Supervisor::Prepare() {
  const sigset_t set = WatchedSignals();
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

void Supervisor::Add(ChildSpec spec) {
  const std::lock_guard lock(mutex_);
  requests_.push_back(std::move(spec));
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof(one));
}

void Supervisor::RequestStop() {
  const std::lock_guard lock(mutex_);
  stop_requested_ = true;
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof(one));
}

int64_t Supervisor::Restarts(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  for (const RunningChild& child : shown_) {
    if (child.name == name) return child.restarts;
  }
  return 0;
}

void Supervisor::Changed() {
  std::vector<RunningChild> now;
  for (const Child& child : children_) {
    now.push_back({child.spec.name, child.running ? child.process : ProcessId{}, child.restarts});
  }
  {
    const std::lock_guard lock(mutex_);
    shown_ = now;
  }
  on_change_(now);
}

bool Supervisor::Spawn(Child* child) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return false;
  child->output = UniqueFd(pipe[0]);
  ::fcntl(pipe[0], F_SETFL, O_NONBLOCK);
  const UniqueFd write_end(::fcntl(pipe[1], F_DUPFD_CLOEXEC, 10));
  ::close(pipe[1]);
  const UniqueFd low_null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const UniqueFd null(::fcntl(low_null.get(), F_DUPFD_CLOEXEC, 10));
  std::vector<char*> argv;
  for (std::string& part : child->spec.argv) argv.push_back(part.data());
  argv.push_back(nullptr);
  std::vector<char*> envp;
  for (char** own = environ; *own != nullptr; ++own) envp.push_back(*own);
  for (std::string& more : child->spec.environment) {
    const std::string name = more.substr(0, more.find('='));
    if (::getenv(name.c_str()) == nullptr) envp.push_back(more.data());
  }
  envp.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) ExecChild(parent, write_end.get(), null.get(), argv.data(), envp.data());
  if (pid < 0) return false;
  child->pidfd = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  child->process = {pid, StartTicks(pid).value_or(0)};
  child->running = true;
  child->started = clock_.Now();
  return true;
}

void Supervisor::TakeRequests() {
  std::vector<ChildSpec> requests;
  {
    const std::lock_guard lock(mutex_);
    requests.swap(requests_);
    stopping_ = stopping_ || stop_requested_;
  }
  for (ChildSpec& spec : requests) {
    Child& child = children_.emplace_back();
    child.log = std::make_unique<LogWriter>(spec.log_path, clock_, false);
    child.spec = std::move(spec);
    child.next_start = clock_.Now();
  }
}

void Supervisor::StartDue() {
  bool changed = false;
  for (Child& child : children_) {
    if (child.running || stopping_ || clock_.Now() < child.next_start) continue;
    if (!Spawn(&child)) child.next_start = clock_.Now() + child.backoff.Next();
    changed = true;
  }
  if (changed) Changed();
}

void Supervisor::ReadOutput(Child* child) {
  std::array<char, 16384> buffer{};
  while (child->output.valid()) {
    const ssize_t length = ::read(child->output.get(), buffer.data(), buffer.size());
    if (length > 0) {
      quiet_until_ = clock_.Now() + kQuiet;
      child->log->Write(std::string_view(buffer.data(), static_cast<size_t>(length)));
    } else if (length < 0 && (errno == EAGAIN || errno == EINTR)) {
      return;
    } else {
      child->log->Flush();
      child->output.reset();
    }
  }
}

void Supervisor::Reap() {
  bool changed = false;
  for (Child& child : children_) {
    int status = 0;
    if (!child.running || ::waitpid(child.process.pid, &status, WNOHANG) != child.process.pid)
      continue;
    changed = true;
    child.running = false;
    child.kill_at.reset();
    ReadOutput(&child);
    if (stopping_) continue;
    const std::string how = WIFSIGNALED(status)
                                ? "signal " + std::to_string(WTERMSIG(status))
                                : "exit code " + std::to_string(WEXITSTATUS(status));
    child.log->Write("envicutor up: " + child.spec.name + " ended with " + how +
                     ", it is started again\n");
    log::Warn("a part ended and is started again", {{"part", child.spec.name}, {"how", how}});
    if (clock_.Now() - child.started > kRanLongEnough) child.backoff.Reset();
    // The first time without delay.
    child.next_start = clock_.Now() + (child.restarts++ == 0 ? Duration{} : child.backoff.Next());
  }
  if (changed) Changed();
}

void Supervisor::StopStep() {
  int order = 1 << 30;
  for (const Child& child : children_) {
    if (child.running) order = std::min(order, child.spec.stop_order);
  }
  const SteadyTime now = clock_.Now();
  for (Child& child : children_) {
    if (!child.running || child.spec.stop_order != order) continue;
    if (!child.kill_at) {
      SendSignal(child.pidfd, SIGTERM);
      child.kill_at = now + kStopGrace;
    } else if (now >= *child.kill_at) {
      SendSignal(child.pidfd, SIGKILL);
      child.kill_at = now + kStopGrace;
    }
  }
}

void Supervisor::WaitForNews() {
  std::vector<pollfd> polled{{signals_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  const bool quiet = clock_.Now() < quiet_until_;
  SteadyTime due = quiet ? quiet_until_ : clock_.Now() + kNoTimer;
  for (const Child& child : children_) {
    if (child.output.valid() && !quiet) polled.push_back({child.output.get(), POLLIN, 0});
    if (!child.running && !stopping_) due = std::min(due, child.next_start);
    if (child.kill_at) due = std::min(due, *child.kill_at);
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - clock_.Now());
  ::poll(polled.data(), polled.size(), static_cast<int>(std::max<int64_t>(0, left.count())));
  uint64_t value = 0;
  (void)!::read(wake_.get(), &value, sizeof(value));
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    if (info.ssi_signo != SIGCHLD) stopping_ = true;
  }
}

void Supervisor::Run() {
  while (true) {
    TakeRequests();
    Reap();
    for (Child& child : children_) ReadOutput(&child);
    if (!stopping_) StartDue();
    if (stopping_) {
      const bool any = std::any_of(children_.begin(), children_.end(),
                                   [](const Child& child) { return child.running; });
      if (!any) return;
      StopStep();
    }
    WaitForNews();
  }
}

}  // namespace envicutor::standalone

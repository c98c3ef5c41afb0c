// envicutor-executor-agent: see --help and docs/architecture.md.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <iostream>
#include <stop_token>
#include <thread>

#include "common/base/log.h"
#include "common/base/unique_fd.h"
#include "executor-agent/server/agent.h"

namespace {

using envicutor::Result;
using envicutor::Status;
using envicutor::UniqueFd;
namespace agent = envicutor::agent;
namespace log = envicutor::log;

// Written to by the signal handler; set before it is installed.
int signal_pipe = -1;

void OnSignal(int signal) {
  const int saved = errno;
  const auto byte = static_cast<unsigned char>(signal);
  [[maybe_unused]] const ssize_t written = ::write(signal_pipe, &byte, 1);
  errno = saved;
}

void OnBrokenPipe(int) {}

// Handlers rather than blocked or ignored signals: those would be inherited by the programs in the
// boxes.
Status InstallSignals(UniqueFd* read_end) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return envicutor::ErrnoStatus(errno, "pipe2");
  *read_end = UniqueFd(ends[0]);
  signal_pipe = ends[1];
  struct sigaction action = {};
  action.sa_flags = SA_RESTART;
  action.sa_handler = OnSignal;
  for (const int signal : {SIGTERM, SIGINT}) {
    if (::sigaction(signal, &action, nullptr) != 0)
      return envicutor::ErrnoStatus(errno, "sigaction");
  }
  action.sa_handler = OnBrokenPipe;
  if (::sigaction(SIGPIPE, &action, nullptr) != 0)
    return envicutor::ErrnoStatus(errno, "sigaction");
  return envicutor::OkStatus();
}

int WaitForSignal(int fd) {
  unsigned char signal = 0;
  while (::read(fd, &signal, 1) < 0 && errno == EINTR) {
  }
  return signal;
}

Status Serve(const agent::AgentOptions& options) {
  UniqueFd signals;
  ENVICUTOR_RETURN_IF_ERROR(InstallSignals(&signals));
  ENVICUTOR_ASSIGN(std::unique_ptr<agent::Agent> process,
                   agent::Agent::Start(options, agent::NewSandbox));
  const int signal = WaitForSignal(signals.get());
  log::Info("draining: a second signal ends it at once", {{"signal", std::to_string(signal)}});
  std::stop_source hurry;
  {
    // Lives as long as the drain: a byte of our own ends its wait.
    const std::jthread second([&] {
      if (WaitForSignal(signals.get()) != 0) hurry.request_stop();
    });
    process->Drain(hurry.get_token());
    OnSignal(0);
  }
  process.reset();
  log::Info("ended");
  return envicutor::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  const Result<agent::AgentOptions> options = agent::ParseAgentOptions({argv + 1, argv + argc});
  if (!options.ok()) {
    std::cerr << "envicutor-executor-agent: " << options.status().message() << '\n';
    return 2;
  }
  if (options->help) {
    std::cout << agent::AgentHelp();
    return 0;
  }
  if (options->version) {
    std::cout << "envicutor-executor-agent " << ENVICUTOR_VERSION << '\n';
    return 0;
  }
  log::Configure("executor-agent", options->log_level, options->log_format);
  const Status served = Serve(*options);
  if (!served.ok()) {
    log::Error("the agent could not start", {{"error", served.ToString()}});
    return 1;
  }
  return 0;
}

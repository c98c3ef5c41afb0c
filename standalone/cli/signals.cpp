#include "standalone/cli/signals.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <mutex>

namespace envicutor::standalone {

SignalStop::SignalStop() : wake_(::eventfd(0, EFD_CLOEXEC)) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  const int signals = ::signalfd(-1, &set, SFD_CLOEXEC);
  thread_ = std::jthread([this, signals] {
    std::array<pollfd, 2> polled{pollfd{signals, POLLIN, 0}, pollfd{wake_, POLLIN, 0}};
    while (::poll(polled.data(), polled.size(), -1) < 0) {
    }
    ::close(signals);
    source_.request_stop();
  });
}

SignalStop::~SignalStop() {
  const uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof(one));
  thread_.join();
  ::close(wake_);
}

void SignalStop::Wait() {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait(lock, token(), [] { return false; });
}

}  // namespace envicutor::standalone

#include "common/http/waiter.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "common/base/unique_fd.h"

namespace envicutor::http {
namespace {

using Steady = std::chrono::steady_clock;

// Of the calling thread; -1 when there are no descriptors left.
int OwnBell() {
  thread_local UniqueFd bell;
  if (!bell.valid()) bell = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  return bell.get();
}

void Ring(int bell) {
  const uint64_t one = 1;
  // Full is as good as rung.
  [[maybe_unused]] const ssize_t written = ::write(bell, &one, sizeof one);
}

}  // namespace

Waiter::Waiter(std::stop_token stop, std::chrono::milliseconds idle)
    : stop_(std::move(stop)), idle_(idle) {
  if (!stop_.stop_possible()) return;
  bell_ = OwnBell();
  if (bell_ >= 0) on_stop_.emplace(stop_, [bell = bell_] { Ring(bell); });
}

Waiter::~Waiter() {
  on_stop_.reset();  // waits for a callback that runs: from here on nobody rings
  if (bell_ < 0 || !stop_.stop_requested()) return;
  uint64_t rings = 0;
  [[maybe_unused]] const ssize_t taken = ::read(bell_, &rings, sizeof rings);
}

Status Waiter::Wait(int fd, short events) const {
  if (stop_.stop_possible() && bell_ < 0) {
    return ResourceExhausted("no descriptor left to wait with");
  }
  std::array<pollfd, 2> fds{pollfd{fd, events, 0}, pollfd{bell_, POLLIN, 0}};
  const Steady::time_point deadline = Steady::now() + idle_;
  for (auto left = idle_;;) {
    if (stop_.stop_requested()) return {Code::kCancelled, "cancelled"};
    constexpr std::chrono::milliseconds kLongest{60'000};
    const int ready =
        ::poll(fds.data(), bell_ < 0 ? 1 : 2, static_cast<int>(std::min(left, kLongest).count()));
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
    if (ready > 0 && fds[0].revents != 0) return OkStatus();
    left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Steady::now());
    if (left <= std::chrono::milliseconds::zero()) {
      return {Code::kDeadlineExceeded,
              "nothing happened for " + std::to_string(idle_.count()) + " ms"};
    }
  }
}

}  // namespace envicutor::http

// Internal to the client: one thread waits for a socket, for its caller's stop, and not for ever.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>

#include "common/base/status.h"

namespace envicutor::http {

// Belongs to one request, used by the thread that made it. A stop that can be requested wakes the
// thread through its one eventfd, which is made at its first such request; else there is none.
class Waiter {
 public:
  // `idle`: how long one wait may last.
  Waiter(std::stop_token stop, std::chrono::milliseconds idle);
  ~Waiter();
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  // OK: `fd` has one of `events` (poll's), or an error to be read from it. DeadlineExceeded,
  // Cancelled.
  [[nodiscard]] Status Wait(int fd, short events) const;

 private:
  const std::stop_token stop_;
  const std::chrono::milliseconds idle_;
  int bell_ = -1;
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
};

}  // namespace envicutor::http

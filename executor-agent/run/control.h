// Why a run is stopped before its end, and the token that stops it. The first reason stays.
#pragma once

#include <atomic>
#include <stop_token>

namespace envicutor::agent {

enum class StopReason {
  kNone,
  kCancelled,   // the user's wish
  kDeadline,    // activeDeadlineSeconds
  kSuperseded,  // a higher attempt is here: nobody waits for this one's result
  kShutdown,    // the agent ends: the run is lost, the operator tries again elsewhere
};

// Thread-safe.
class RunControl {
 public:
  void Stop(StopReason reason) {
    StopReason none = StopReason::kNone;
    reason_.compare_exchange_strong(none, reason);
    source_.request_stop();
  }
  [[nodiscard]] StopReason reason() const { return reason_.load(); }
  [[nodiscard]] bool stopped() const { return source_.stop_requested(); }
  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }

 private:
  std::atomic<StopReason> reason_{StopReason::kNone};
  std::stop_source source_;
};

}  // namespace envicutor::agent

// Internal to the client: one response on its way from the library's threads to the calling thread.
// Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/http/types.h"

namespace envicutor::http {

class Transfer {
 public:
  enum class Mode { kWhole, kPieces };
  // kWhole: the body is kept until it is complete, at most `max_body` bytes. kPieces: it is handed
  // out as it comes, and the library is asked to pause while more than kMaxBacklog bytes wait.
  Transfer(Mode mode, size_t max_body) : mode_(mode), max_body_(max_body) { Touch(); }

  // --- the library's side ---
  void Touch();  // something moved
  void OnHeaders(int status, Headers headers);
  // True: do not read on before NotifyWhenDrained's callback ran.
  [[nodiscard]] bool OnData(std::string_view data);
  void NotifyWhenDrained(std::function<void()> resume);
  void OnEnd(Status status);

  // --- the calling thread's side ---
  void Cancel();  // wakes Wait; from any thread
  enum class Event { kData, kEnd, kIdle, kCancelled };
  // Waits for the next piece (kPieces, after the headers), the end, or until nothing moved for
  // `idle`.
  Event Wait(std::chrono::milliseconds idle, std::string* data);
  // Valid after the first kData, or after kEnd with an OK status().
  [[nodiscard]] Response& response() { return response_; }
  [[nodiscard]] const Status& status() const { return status_; }
  // The caller has gone: nothing is kept any more, and the library is never held up.
  void Abandon();

 private:
  static constexpr size_t kMaxBacklog = 1U << 20U;
  using Steady = std::chrono::steady_clock;

  const Mode mode_;
  const size_t max_body_;
  std::atomic<Steady::rep> last_move_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  Response response_;
  Status status_;
  std::string pending_;
  std::function<void()> resume_;
  bool have_headers_ = false;
  bool ended_ = false;
  bool cancelled_ = false;
  bool abandoned_ = false;
};

}  // namespace envicutor::http

#include "common/http/transfer.h"

#include <utility>

namespace envicutor::http {

void Transfer::Touch() {
  last_move_.store(Steady::now().time_since_epoch().count(), std::memory_order_relaxed);
}

void Transfer::OnHeaders(int status, Headers headers) {
  Touch();
  const std::scoped_lock lock(mutex_);
  response_.status = status;
  response_.headers = std::move(headers);
  have_headers_ = true;
  // The body may have overtaken the headers on another of the library's threads.
  if (mode_ == Mode::kPieces && !pending_.empty()) wake_.notify_one();
}

bool Transfer::OnData(std::string_view data) {
  Touch();
  const std::scoped_lock lock(mutex_);
  if (abandoned_ || ended_) return false;
  if (mode_ == Mode::kWhole && pending_.size() + data.size() > max_body_) {
    status_ =
        ResourceExhausted("the response is larger than " + std::to_string(max_body_) + " bytes");
    ended_ = true;
    wake_.notify_one();
    return false;
  }
  pending_ += data;
  if (mode_ == Mode::kWhole) return false;
  if (have_headers_) wake_.notify_one();
  return pending_.size() > kMaxBacklog;
}

void Transfer::NotifyWhenDrained(std::function<void()> resume) {
  {
    const std::scoped_lock lock(mutex_);
    if (!abandoned_ && !ended_ && pending_.size() > kMaxBacklog) {
      resume_ = std::move(resume);
      return;
    }
  }
  resume();
}

void Transfer::OnEnd(Status status) {
  const std::scoped_lock lock(mutex_);
  if (ended_) return;
  ended_ = true;
  status_ = std::move(status);
  wake_.notify_one();
}

void Transfer::Cancel() {
  const std::scoped_lock lock(mutex_);
  cancelled_ = true;
  wake_.notify_one();
}

Transfer::Event Transfer::Wait(std::chrono::milliseconds idle, std::string* data) {
  std::function<void()> resume;
  Event event = Event::kEnd;
  {
    std::unique_lock lock(mutex_);
    const auto ready = [this] {
      return cancelled_ || ended_ || (mode_ == Mode::kPieces && have_headers_ && !pending_.empty());
    };
    while (!ready()) {
      const Steady::time_point deadline =
          Steady::time_point(Steady::duration(last_move_.load(std::memory_order_relaxed))) + idle;
      if (Steady::now() >= deadline) return Event::kIdle;
      wake_.wait_until(lock, deadline);
    }
    if (cancelled_) return Event::kCancelled;
    if (mode_ == Mode::kPieces && have_headers_ && !pending_.empty()) {
      data->swap(pending_);
      pending_.clear();
      event = Event::kData;
    } else {
      response_.body = std::move(pending_);
    }
    resume = std::exchange(resume_, nullptr);
  }
  if (resume) {
    Touch();
    resume();
  }
  return event;
}

void Transfer::Abandon() {
  std::function<void()> resume;
  {
    const std::scoped_lock lock(mutex_);
    abandoned_ = true;
    pending_ = {};
    resume = std::exchange(resume_, nullptr);
  }
  if (resume) resume();
}

}  // namespace envicutor::http

#include "common/http/exchange.h"

#include <array>
#include <cstdio>
#include <utility>

namespace envicutor::http {
namespace {

// Small pieces are joined: one TLS record and one system call for many of them.
constexpr size_t kJoinBytes = 64U << 10U;

// A handler's header value cannot end the line.
void AppendClean(std::string& out, std::string_view text) {
  for (const char c : text) out += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
}

bool IsOurs(std::string_view name) {
  return EqualsIgnoreCase(name, "Content-Length") || EqualsIgnoreCase(name, "Transfer-Encoding") ||
         EqualsIgnoreCase(name, "Connection");
}

}  // namespace

uint64_t Exchange::Start(const Begin& begin) {
  const std::scoped_lock lock(mutex_);
  request_ = begin;
  state_ = State::kWaiting;
  return ++number_;
}

bool Exchange::Wake() { return !std::exchange(awake_, true) && !shut_; }

void Exchange::Push(std::string bytes) {
  backlog_ += bytes.size();
  if (!queue_.empty() && queue_.back().size() + bytes.size() <= kJoinBytes) {
    queue_.back() += bytes;
  } else {
    queue_.push_back(std::move(bytes));
  }
}

std::string Exchange::Head(int status, const Headers& headers) {
  std::string head = "HTTP/1.1 " + std::to_string(status) + " ";
  head += ReasonPhrase(status);
  head += "\r\n";
  for (const auto& [name, value] : headers.fields()) {
    if (IsOurs(name)) continue;
    AppendClean(head, name);
    head += ": ";
    AppendClean(head, value);
    head += "\r\n";
  }
  if (!request_.keep_alive) {
    head += "Connection: close\r\n";
  } else if (request_.http10) {
    head += "Connection: keep-alive\r\n";
  }
  return head;
}

bool Exchange::Send(uint64_t number, Response response) {
  const std::scoped_lock lock(mutex_);
  if (number != number_ || state_ != State::kWaiting) return false;
  std::string head = Head(response.status, response.headers);
  const bool bodiless = response.status == 204 || response.status == 304;
  if (!bodiless) head += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  head += "\r\n";
  if (bodiless || request_.head) response.body.clear();
  if (head.size() + response.body.size() <= kJoinBytes) {
    head += response.body;
    Push(std::move(head));
  } else {
    Push(std::move(head));
    Push(std::move(response.body));
  }
  state_ = State::kComplete;
  return Wake();
}

bool Exchange::StartStream(uint64_t number, int status, const Headers& headers) {
  const std::scoped_lock lock(mutex_);
  if (number != number_ || state_ != State::kWaiting) return false;
  if (request_.http10) request_.keep_alive = false;  // the end of the connection ends the body
  std::string head = Head(status, headers);
  if (!request_.http10) head += "Transfer-Encoding: chunked\r\n";
  head += "\r\n";
  Push(std::move(head));
  state_ = State::kStreaming;
  return Wake();
}

bool Exchange::Write(uint64_t number, std::string chunk, bool* accepted) {
  const std::scoped_lock lock(mutex_);
  *accepted = false;
  if (number != number_ || state_ != State::kStreaming || gone_ || broken_) return false;
  if (backlog_ + chunk.size() > max_backlog_) {
    broken_ = true;
    return Wake();
  }
  *accepted = true;
  if (chunk.empty() || request_.head) return false;  // an empty chunk would end the body
  if (request_.http10) {
    Push(std::move(chunk));
    return Wake();
  }
  std::array<char, 24> size{};
  const int length = std::snprintf(size.data(), size.size(), "%zx\r\n", chunk.size());
  Push(std::string(size.data(), static_cast<size_t>(length)));
  Push(std::move(chunk));
  Push("\r\n");
  return Wake();
}

bool Exchange::Finish(uint64_t number) {
  const std::scoped_lock lock(mutex_);
  if (number != number_ || state_ != State::kStreaming) return false;
  if (!request_.http10 && !request_.head) Push("0\r\n\r\n");
  state_ = State::kComplete;
  return Wake();
}

bool Exchange::Abandon(uint64_t number) {
  {
    const std::scoped_lock lock(mutex_);
    if (number != number_) return false;
    if (state_ == State::kStreaming) {
      broken_ = true;
      return Wake();
    }
  }
  return Send(number, {500, {{"Content-Type", "text/plain"}}, "no answer\n"});
}

bool Exchange::OnClose(uint64_t number, std::function<void()> callback) {
  const std::scoped_lock lock(mutex_);
  if (number != number_ || state_ == State::kComplete || state_ == State::kIdle) return true;
  if (gone_) return false;
  callbacks_.push_back(std::move(callback));
  return true;
}

Exchange::Batch Exchange::Take() {
  std::vector<std::function<void()>> finished;  // destroyed without the lock
  const std::scoped_lock lock(mutex_);
  awake_ = false;
  Batch batch;
  batch.buffers.swap(queue_);
  batch.broken = broken_;
  batch.complete = state_ == State::kComplete;
  if (batch.complete) {
    finished.swap(callbacks_);
    state_ = State::kIdle;
    batch.close = !request_.keep_alive;
  }
  return batch;
}

void Exchange::Sent(size_t bytes) {
  const std::scoped_lock lock(mutex_);
  backlog_ -= bytes;
}

void Exchange::QueueRaw(std::string bytes) {
  const std::scoped_lock lock(mutex_);
  Push(std::move(bytes));
}

void Exchange::SetNoKeepAlive() {
  const std::scoped_lock lock(mutex_);
  request_.keep_alive = false;
}

bool Exchange::streaming() const {
  const std::scoped_lock lock(mutex_);
  return state_ == State::kStreaming;
}

std::vector<std::function<void()>> Exchange::Close(bool for_good) {
  const std::scoped_lock lock(mutex_);
  gone_ = true;
  shut_ = shut_ || for_good;
  return std::exchange(callbacks_, {});
}

}  // namespace envicutor::http

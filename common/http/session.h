// Internal to server.cpp (Boost inside): one connection. Everything runs on the session's strand
// but the writers' calls, which end in Exchange and Wake.
//
// A read is always pending, so that a client that goes away is noticed while a handler works. One
// deadline at a time is in force, by what the session waits for; its timer is lazy (it is not
// touched when a deadline moves later), so that a request on a kept connection costs no timer
// calls.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <string>

#include "common/http/chunk_guard.h"
#include "common/http/exchange.h"
#include "common/http/session_core.h"
#include "common/http/tls_context.h"

namespace envicutor::http {

namespace asio = boost::asio;
namespace beast = boost::beast;
using tcp = asio::ip::tcp;
using boost::system::error_code;

// With the executor's type in theirs: the usual tcp::socket and steady_timer reach it through a
// table and a pointer, several times for each read and write.
using Strand = asio::strand<asio::io_context::executor_type>;
using StrandSocket = asio::basic_stream_socket<tcp, Strand>;
using StrandTimer =
    asio::basic_waitable_timer<std::chrono::steady_clock,
                               asio::wait_traits<std::chrono::steady_clock>, Strand>;

// Stream: StrandSocket or asio::ssl::stream<StrandSocket>.
template <typename Stream>
class Session final : public SessionBase, public std::enable_shared_from_this<Session<Stream>> {
 public:
  static constexpr bool kTls = !std::is_same_v<Stream, StrandSocket>;

  template <typename... StreamArgs>
  Session(std::shared_ptr<SessionCore> core, std::string remote, StreamArgs&&... args)
      : SessionBase(core->options.max_stream_backlog),
        core_(std::move(core)),
        stream_(std::forward<StreamArgs>(args)...),
        timer_(stream_.get_executor()),
        remote_(std::move(remote)),
        buffer_(core_->options.max_header_bytes + kReadBytes) {}

  // All three may be called from any thread.
  void Begin() override {
    asio::post(stream_.get_executor(), [self = this->shared_from_this()] { self->Handshake(); });
  }
  void Wake() override {
    asio::dispatch(stream_.get_executor(), [self = this->shared_from_this()] { self->Flush(); });
  }
  void BeginStop() override {
    asio::post(stream_.get_executor(), [self = this->shared_from_this()] {
      self->exchange.SetNoKeepAlive();
      if (!self->active_ && self->in_flight_.empty()) self->Abort();
    });
  }
  void AbortSoon() override {
    asio::post(stream_.get_executor(), [self = this->shared_from_this()] { self->Abort(); });
  }

 private:
  static constexpr size_t kReadBytes = 64U << 10U;
  static constexpr std::chrono::seconds kLinger{2};  // for the client to read an answer and close
  enum class Waiting { kNothing, kHandshake, kIdle, kRequest, kWrite, kLinger };

  auto& Socket() {
    if constexpr (kTls) {
      return stream_.next_layer();
    } else {
      return stream_;
    }
  }

  void Handshake() {
    if constexpr (kTls) {
      SetDeadline(Waiting::kHandshake, core_->options.read_timeout);
      stream_.async_handshake(
          asio::ssl::stream_base::server, [self = this->shared_from_this()](error_code error) {
            if (self->closed_) return;
            if (error) return self->Abort();
            if (X509* cert = SSL_get_peer_certificate(self->stream_.native_handle())) {
              self->peer_ = IdentityOf(cert);
              X509_free(cert);
            }
            self->FirstRead();
          });
    } else {
      FirstRead();
    }
  }

  void FirstRead() {
    SetDeadline(Waiting::kIdle, std::min(core_->options.read_timeout, core_->options.idle_timeout));
    Read();
  }

  // --- reading ---

  void Read() {
    if (reading_ || closed_ || peer_closed_) return;
    reading_ = true;
    const size_t room = buffer_.max_size() - buffer_.size();
    // Headers are small; a body is worth a large buffer.
    const size_t want = parser_ && parser_->is_header_done() ? kReadBytes : kReadBytes / 8;
    stream_.async_read_some(buffer_.prepare(std::min(want, room)),
                            [self = this->shared_from_this()](error_code error, size_t bytes) {
                              self->OnRead(error, bytes);
                            });
  }

  void OnRead(error_code error, size_t bytes) {
    reading_ = false;
    if (closed_) return;
    if (error) return OnReadError(error);
    if (discarding_) return Read();
    buffer_.commit(bytes);
    if (!active_) Parse();
    // A pipelined request waits in the buffer, and the socket for it, until the answer is out.
  }

  void OnReadError(error_code error) {
    const bool end = error == asio::error::eof || error == asio::ssl::error::stream_truncated;
    if (!end || !active_ || exchange.streaming()) return Abort();
    // The client sent its last byte but may still read: the answer goes out, and then the end.
    peer_closed_ = true;
    exchange.SetNoKeepAlive();
    RunCallbacks(exchange.Close(false));
  }

  void Parse() {
    if (buffer_.size() > 0 && !parser_) {
      parser_.emplace();
      wanted_ = 1;
      parser_->eager(true);
      parser_->header_limit(static_cast<uint32_t>(core_->options.max_header_bytes));
      parser_->body_limit(core_->options.max_body_bytes);
      SetDeadline(Waiting::kRequest, core_->options.read_timeout);
    }
    while (buffer_.size() >= wanted_) {
      error_code error;
      const size_t used = parser_->put(buffer_.data(), error);
      buffer_.consume(used);
      if (error == beast::http::error::need_more) {
        wanted_ = BytesToGoOn(*parser_);
        break;
      }
      wanted_ = 1;
      if (error) return Refuse(StatusOf(error), error.message());
      if (parser_->is_done()) return Dispatch();
      if (used == 0) break;
    }
    if (parser_ && parser_->is_header_done() && !continued_) {
      continued_ = true;
      if (beast::iequals(parser_->get()[beast::http::field::expect], "100-continue")) {
        exchange.QueueRaw("HTTP/1.1 100 Continue\r\n\r\n");
        Flush();
      }
    }
    Read();
  }

  static int StatusOf(error_code error) {
    if (error == beast::http::error::header_limit) return 431;
    if (error == beast::http::error::body_limit) return 413;
    return 400;
  }

  void Dispatch() {
    auto message = parser_->release();
    parser_.reset();
    continued_ = false;
    const bool keep = message.keep_alive() && !core_->stopping;
    Result<ServerRequest> request = ToRequest(message);
    if (!request.ok()) return Refuse(400, request.status().message());
    StartExchange({message.method() == beast::http::verb::head, message.version() < 11, keep});
    core_->handle(std::move(request).value(), this->shared_from_this(), number_);
    if (buffer_.size() == 0) Read();
  }

  template <typename Message>
  Result<ServerRequest> ToRequest(Message& message) {
    const auto target = message.target();
    return MakeServerRequest(
        std::string(message.method_string()), {target.data(), target.size()},
        [&message](Headers& headers) {
          for (const auto& field : message) {
            headers.Add(std::string(field.name_string()), std::string(field.value()));
          }
        },
        std::move(message.body()), peer_, remote_);
  }

  void StartExchange(const Exchange::Begin& begin) {
    active_ = true;
    SetDeadline(Waiting::kNothing, {});
    number_ = exchange.Start(begin);
  }

  // An answer of the server itself, after which the connection cannot go on.
  void Refuse(int status, const std::string& reason) {
    parser_.reset();
    buffer_.clear();
    discarding_ = true;
    StartExchange({false, false, false});
    exchange.Send(number_, {status, {{"Content-Type", "text/plain"}}, reason + "\n"});
    Flush();
    Read();
  }

  // --- writing ---

  void Flush() {
    if (closed_ || writing_) return;  // a pending write takes what is queued when it is done
    Exchange::Batch batch = exchange.Take();
    if (batch.broken) return Abort();
    in_flight_ = std::move(batch.buffers);
    offset_ = 0;
    complete_ = complete_ || batch.complete;
    close_ = close_ || batch.close;
    if (in_flight_.empty()) {
      OnAllWritten();
    } else {
      WriteSome();
    }
  }

  void WriteSome() {
    std::array<asio::const_buffer, 16> buffers;
    size_t count = 0;
    for (const std::string& text : in_flight_) {
      if (count == buffers.size()) break;
      buffers[count] = asio::buffer(text);
      if (count == 0) buffers[0] += offset_;
      ++count;
    }
    writing_ = true;
    SetDeadline(Waiting::kWrite, core_->options.write_timeout);
    stream_.async_write_some(buffers,
                             [self = this->shared_from_this()](error_code error, size_t bytes) {
                               self->OnWritten(error, bytes);
                             });
  }

  void OnWritten(error_code error, size_t bytes) {
    writing_ = false;
    if (closed_) return;
    if (error) return Abort();
    exchange.Sent(bytes);
    offset_ += bytes;
    while (!in_flight_.empty() && offset_ >= in_flight_.front().size()) {
      offset_ -= in_flight_.front().size();
      in_flight_.pop_front();
    }
    if (!in_flight_.empty()) return WriteSome();
    Flush();
  }

  void OnAllWritten() {
    if (waiting_ == Waiting::kWrite) SetDeadline(Waiting::kNothing, {});
    if (!complete_) {
      // "100 Continue" is out, or a stream has nothing to say just now.
      if (!active_ && parser_) SetDeadline(Waiting::kRequest, core_->options.read_timeout);
      return;
    }
    complete_ = false;
    active_ = false;
    if (close_ || core_->stopping || peer_closed_) return Linger();
    SetDeadline(Waiting::kIdle, core_->options.idle_timeout);
    if (buffer_.size() > 0) {
      // Posted, not called: a long row of pipelined requests must not become a deep stack.
      asio::post(stream_.get_executor(), [self = this->shared_from_this()] {
        if (!self->closed_ && !self->active_) self->Parse();
      });
    } else {
      Read();
    }
  }

  // --- the end ---

  // Closing a socket that still has unread bytes would reset it and take the answer away from the
  // client: say that we are done, then wait, not long, until the client closes.
  void Linger() {
    if (peer_closed_) return Abort();
    discarding_ = true;
    buffer_.clear();
    SetDeadline(Waiting::kLinger, kLinger);
    if constexpr (kTls) {
      stream_.async_shutdown([self = this->shared_from_this()](error_code) {
        error_code ignored;
        if (!self->closed_) self->Socket().shutdown(asio::socket_base::shutdown_send, ignored);
      });
    } else {
      error_code ignored;
      Socket().shutdown(asio::socket_base::shutdown_send, ignored);
    }
    Read();
  }

  void Abort() {
    if (closed_) return;
    closed_ = true;
    error_code ignored;
    timer_.cancel(ignored);
    Socket().close(ignored);
    RunCallbacks(exchange.Close(true));
    core_->remove(this);
  }

  static void RunCallbacks(const std::vector<std::function<void()>>& callbacks) {
    for (const auto& callback : callbacks) callback();
  }

  // --- the deadline ---

  void SetDeadline(Waiting waiting, std::chrono::steady_clock::duration after) {
    waiting_ = waiting;
    if (waiting == Waiting::kNothing) return;
    deadline_ = std::chrono::steady_clock::now() + after;
    if (!timer_armed_ || deadline_ < timer_.expiry()) ArmTimer();
  }

  void ArmTimer() {
    timer_armed_ = true;
    timer_.expires_at(deadline_);
    timer_.async_wait([self = this->shared_from_this()](error_code error) {
      if (error || self->closed_) return;  // moved, or over
      self->timer_armed_ = false;
      if (self->waiting_ == Waiting::kNothing) return;
      if (std::chrono::steady_clock::now() < self->deadline_) return self->ArmTimer();
      self->OnDeadline();
    });
  }

  void OnDeadline() {
    if (waiting_ != Waiting::kRequest) return Abort();
    Refuse(408, "the request did not arrive in time");
  }

  std::shared_ptr<SessionCore> core_;  // first: it owns the io_context that the rest needs
  Stream stream_;
  StrandTimer timer_;
  const std::string remote_;
  std::optional<PeerIdentity> peer_;
  beast::flat_buffer buffer_;
  std::optional<beast::http::request_parser<beast::http::string_body>> parser_;
  size_t wanted_ = 1;  // bytes in buffer_ before parser_ goes on
  std::deque<std::string> in_flight_;
  size_t offset_ = 0;  // of what is sent of in_flight_.front()
  uint64_t number_ = 0;
  Waiting waiting_ = Waiting::kNothing;
  std::chrono::steady_clock::time_point deadline_;
  bool timer_armed_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool active_ = false;       // a request is being answered
  bool complete_ = false;     // its answer is taken from the exchange
  bool close_ = false;        // after it
  bool continued_ = false;    // "100 Continue" was considered for this request
  bool discarding_ = false;   // what still comes in is thrown away
  bool peer_closed_ = false;  // end of file was read
  bool closed_ = false;
};

}  // namespace envicutor::http

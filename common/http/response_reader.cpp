#include "common/http/response_reader.h"

#include <algorithm>
#include <cstring>

#include "common/http/chunk_guard.h"

namespace envicutor::http {
namespace {

namespace beast = boost::beast;

constexpr size_t kMaxReserve = 1U << 20U;
constexpr int kMaxInterim = 16;
constexpr int kSwitchingProtocols = 101;

Status StatusOf(const beast::error_code& error, uint64_t max_body) {
  if (error == beast::http::error::body_limit) {
    return ResourceExhausted("the response is larger than " + std::to_string(max_body) + " bytes");
  }
  if (error == beast::http::error::header_limit) {
    return ResourceExhausted("the response's header is larger than " +
                             std::to_string(ResponseReader::kMaxHeaderBytes) + " bytes");
  }
  return Unavailable("the response is not HTTP/1.1: " + error.message());
}

}  // namespace

void PieceBody::reader::init(const boost::optional<uint64_t>& length, beast::error_code& error) {
  error = {};
  if (length) body_.reserve(static_cast<size_t>(std::min<uint64_t>(*length, kMaxReserve)));
}

ResponseReader::ResponseReader(bool head, uint64_t max_body)
    : head_(head), max_body_(max_body), buffer_(kMaxHeaderBytes + Connection::kReadBytes) {
  Restart();
}

void ResponseReader::Restart() {
  parser_.emplace();
  wanted_ = 1;
  parser_->eager(true);
  parser_->skip(head_);
  parser_->header_limit(static_cast<uint32_t>(kMaxHeaderBytes));
  if (max_body_ == kAnyLength) {
    parser_->body_limit(boost::none);
  } else {
    parser_->body_limit(max_body_);
  }
}

Headers ResponseReader::TakeHeaders() const {
  Headers headers;
  for (const auto& field : parser_->get()) {
    headers.Add(std::string(field.name_string()), std::string(field.value()));
  }
  return headers;
}

Status ResponseReader::Step(Connection& connection, const Waiter& waiter) {
  char* const scratch = connection.scratch();
  ENVICUTOR_ASSIGN(const size_t count, connection.Read(scratch, Connection::kReadBytes, waiter));
  return count == 0 ? End() : Feed({scratch, count});
}

Status ResponseReader::Feed(std::string_view bytes) {
  touched_ = touched_ || !bytes.empty();
  // Nearly always all of it is parsed where it is; what is left waits in buffer_ for the rest.
  if (buffer_.size() == 0) ENVICUTOR_RETURN_IF_ERROR(Parse(&bytes));
  while (!bytes.empty()) {
    const size_t room = buffer_.max_size() - buffer_.size();
    if (done()) {
      surplus_ = true;
      return OkStatus();
    }
    if (room == 0) return Unavailable("the response is not HTTP/1.1: a line without an end");
    const size_t count = std::min(bytes.size(), room);
    std::memcpy(buffer_.prepare(count).data(), bytes.data(), count);
    buffer_.commit(count);
    bytes.remove_prefix(count);
    std::string_view waiting(static_cast<const char*>(buffer_.data().data()), buffer_.size());
    ENVICUTOR_RETURN_IF_ERROR(Parse(&waiting));
    buffer_.consume(buffer_.size() - waiting.size());
  }
  return OkStatus();
}

// Takes away what it used.
Status ResponseReader::Parse(std::string_view* bytes) {
  while (bytes->size() >= wanted_ && !done()) {
    beast::error_code error;
    const size_t used =
        parser_->put(boost::asio::const_buffer(bytes->data(), bytes->size()), error);
    bytes->remove_prefix(used);
    if (error == beast::http::error::need_more) {
      wanted_ = BytesToGoOn(*parser_);
      break;
    }
    wanted_ = 1;
    if (error) return StatusOf(error, max_body_);
    if (parser_->is_done()) {
      if (status() / 100 != 1) break;
      if (status() == kSwitchingProtocols || ++interim_ > kMaxInterim) {
        return Unavailable("the server sent the interim response " + std::to_string(status()));
      }
      Restart();
      continue;
    }
    if (used == 0) break;
  }
  return OkStatus();
}

// The server sends nothing more.
Status ResponseReader::End() {
  if (touched_ && parser_->is_header_done() && parser_->need_eof()) {
    beast::error_code error;
    parser_->put_eof(error);
    if (!error) return OkStatus();
  }
  return Unavailable(touched_ ? "the server closed the connection in the middle of its answer"
                              : "the server closed the connection before it answered");
}

}  // namespace envicutor::http

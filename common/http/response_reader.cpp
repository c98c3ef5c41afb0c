#include "common/http/response_reader.h"

#include <algorithm>
#include <cstring>

#include "common/http/chunk_guard.h"

namespace envicutor::http {
namespace {

namespace beast = boost::beast;

constexpr size_t kReadBytes = 16U << 10U;  // a TLS record has at most as many
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
    : head_(head), max_body_(max_body), buffer_(kMaxHeaderBytes + kReadBytes) {
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
  const size_t room = std::min(kReadBytes, buffer_.max_size() - buffer_.size());
  const auto space = buffer_.prepare(room);
  ENVICUTOR_ASSIGN(const size_t count,
                   connection.Read(static_cast<char*>(space.data()), space.size(), waiter));
  if (count == 0) return End();
  touched_ = true;
  buffer_.commit(count);
  return Parse();
}

Status ResponseReader::Feed(std::string_view bytes) {
  while (!bytes.empty() && !done()) {
    const size_t count = std::min({kReadBytes, bytes.size(), buffer_.max_size() - buffer_.size()});
    std::memcpy(buffer_.prepare(count).data(), bytes.data(), count);
    touched_ = true;
    buffer_.commit(count);
    bytes.remove_prefix(count);
    ENVICUTOR_RETURN_IF_ERROR(Parse());
  }
  return OkStatus();
}

Status ResponseReader::Parse() {
  while (buffer_.size() >= wanted_) {
    beast::error_code error;
    const size_t used = parser_->put(buffer_.data(), error);
    buffer_.consume(used);
    if (error == beast::http::error::need_more) {
      wanted_ = BytesToGoOn(*parser_);
      break;
    }
    wanted_ = 1;
    if (error) return StatusOf(error, max_body_);
    if (parser_->is_done()) {
      if (status() / 100 != 1) return OkStatus();
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

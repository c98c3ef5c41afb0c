// Internal to the client: one response, parsed by Boost.Beast. Limits hold before anything is kept:
// a header of at most kMaxHeaderBytes, a body of at most what is asked for.
#pragma once

#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "common/http/connection.h"
#include "common/http/types.h"

namespace envicutor::http {

// A body as a string that is taken away piece by piece: a length that the server claims reserves
// little.
struct PieceBody {
  using value_type = std::string;

  class reader {
   public:
    template <bool is_request, typename Fields>
    reader(boost::beast::http::header<is_request, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<uint64_t>& length, boost::beast::error_code& error);
    template <typename Buffers>
    size_t put(const Buffers& buffers, boost::beast::error_code& error) {
      error = {};
      size_t count = 0;
      for (const auto buffer : boost::beast::buffers_range_ref(buffers)) {
        body_.append(static_cast<const char*>(buffer.data()), buffer.size());
        count += buffer.size();
      }
      return count;
    }
    static void finish(boost::beast::error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

class ResponseReader {
 public:
  static constexpr size_t kMaxHeaderBytes = 64U << 10U;
  static constexpr uint64_t kAnyLength = std::numeric_limits<uint64_t>::max();

  // `head`: the answer to a HEAD request, which has no body. `max_body`: bytes, kAnyLength: the
  // caller takes the pieces away.
  ResponseReader(bool head, uint64_t max_body);

  // Waits for more, once, and parses it. ResourceExhausted: larger than its bound; Unavailable: the
  // connection broke, or what came is not HTTP.
  [[nodiscard]] Status Step(Connection& connection, const Waiter& waiter);
  // What came, and that nothing comes any more: the same without a connection.
  [[nodiscard]] Status Feed(std::string_view bytes);
  [[nodiscard]] Status End();

  [[nodiscard]] bool header_done() const { return parser_->is_header_done(); }
  [[nodiscard]] bool done() const { return parser_->is_done(); }
  // Anything at all was received.
  [[nodiscard]] bool touched() const { return touched_; }
  // After done(): the connection can carry another request.
  [[nodiscard]] bool reusable() const {
    return !surplus_ && buffer_.size() == 0 && parser_->keep_alive();
  }
  // After header_done().
  [[nodiscard]] int status() const { return static_cast<int>(parser_->get().result_int()); }
  [[nodiscard]] Headers TakeHeaders() const;
  [[nodiscard]] std::string& body() { return parser_->get().body(); }

 private:
  void Restart();
  [[nodiscard]] Status Parse(std::string_view* bytes);

  const bool head_;
  const uint64_t max_body_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::response_parser<PieceBody>> parser_;
  size_t wanted_ = 1;  // bytes in buffer_ before parser_ goes on
  int interim_ = 0;    // 1xx responses so far
  bool touched_ = false;
  bool surplus_ = false;  // more came than one response
};

}  // namespace envicutor::http

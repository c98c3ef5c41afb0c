// What a server sees first: the request line and head in pieces of any size, its target, the
// resource a path names, the form an Accept header asks for.
#include <algorithm>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "common/http/chunk_guard.h"
#include "common/http/target.h"
#include "common/http/types.h"
#include "standalone/apiserver/http/accept.h"
#include "standalone/apiserver/http/body.h"
#include "standalone/apiserver/http/request_info.h"
#include "tests/fuzz/target.h"

namespace beast = boost::beast;
namespace http = envicutor::http;
namespace standalone = envicutor::standalone;

namespace {

// The parser as common/http/session.h sets it up. The same bytes are the same request, however they
// arrive.
std::string Parse(std::string_view bytes, size_t piece) {
  beast::http::request_parser<beast::http::string_body> parser;
  parser.eager(true);
  parser.header_limit(4096);
  parser.body_limit(8192);
  std::string buffer;
  size_t wanted = 1;
  beast::error_code error;
  for (size_t at = 0; !parser.is_done();) {
    const size_t size = std::min(piece, bytes.size() - at);
    if (size == 0) return "needs more";
    buffer.append(bytes.substr(at, size));
    at += size;
    if (buffer.size() < wanted) continue;
    const size_t used = parser.put(boost::asio::buffer(buffer), error);
    CHECK(used <= buffer.size(), "used more than there was");
    buffer.erase(0, used);
    wanted = 1;
    if (error == beast::http::error::need_more) {
      wanted = http::BytesToGoOn(parser);
      error = {};
    }
    if (error) return "error";
  }
  const auto& request = parser.get();
  CHECK(request.body().size() <= 8192, "a body over the limit");
  return std::string(request.method_string()) + " " + std::string(request.target()) + "\n" +
         request.body();
}

}  // namespace

FUZZ_TARGET(fuzz_http) {
  CHECK(http::PercentDecode(http::PercentEncode(data)) == data, "another text");
  if (const auto target = http::ParseTarget(data); target.ok()) {
    CHECK(target->path.starts_with("/"), "a path without a root");
    CHECK(target->path.find('\0') == std::string::npos, "NUL in a path");
    CHECK((target->path + "/").find("/../") == std::string::npos, "a path upwards");
    CHECK(target->query.size() <= 1024, "too many parameters");
    if (const auto info = standalone::ParseResourcePath(target->path)) {
      CHECK(!info->version.empty() && !info->resource.empty(), "no resource");
    }
  }
  (void)standalone::ParseResourcePath(data);
  (void)standalone::NegotiateForm(data, false);
  (void)standalone::NegotiateForm(data, true);
  (void)standalone::MediaType(data);
  const std::string whole = Parse(data, data.size());
  if (whole == "error" || whole == "needs more") return;
  CHECK(Parse(data, 1) == whole, "other pieces, another request");
}

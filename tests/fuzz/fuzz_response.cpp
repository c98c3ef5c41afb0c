// What a client reads from a server, in pieces of any size: the same bytes are the same response,
// and no bound is passed.
#include <string>

#include "common/http/response_reader.h"
#include "tests/fuzz/target.h"

namespace http = envicutor::http;

namespace {

constexpr size_t kMaxBody = 8192;

std::string Parse(std::string_view bytes, size_t piece, bool head) {
  http::ResponseReader reader(head, kMaxBody);
  while (!bytes.empty() && !reader.done()) {
    const std::string_view next = bytes.substr(0, piece);
    bytes.remove_prefix(next.size());
    if (!reader.Feed(next).ok()) return "error";
  }
  if (!reader.done()) {
    if (!reader.End().ok()) return "error";
    CHECK(reader.done(), "ended, and not done");
  }
  CHECK(reader.status() >= 0 && reader.status() <= 999, "no status");
  CHECK(reader.status() / 100 != 1, "an interim response as the answer");
  CHECK(reader.body().size() <= kMaxBody, "a body over the limit");
  CHECK(!head || reader.body().empty(), "a body for HEAD");
  return std::to_string(reader.status()) + "\n" + reader.body();
}

}  // namespace

FUZZ_TARGET(fuzz_response) {
  for (const bool head : {false, true}) {
    const std::string whole = Parse(data, data.size(), head);
    if (whole == "error") continue;
    CHECK(Parse(data, 1, head) == whole, "other pieces, another response");
  }
}

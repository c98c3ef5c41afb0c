// Internal to the server: how to feed Beast's parser.
#pragma once

#include <cstddef>

namespace envicutor::http {

// How many bytes must wait before a parser that said need_more is given them. Beast 1.74 sees the
// last chunk's "0\r\n" and asserts at the next call that its five bytes are there ("0\r\n\r\n"): a
// client that sends them in pieces would end the process. No chunked message is complete with
// fewer, so waiting for them delays none.
template <typename Parser>
[[nodiscard]] size_t BytesToGoOn(const Parser& parser) {
  return parser.is_header_done() && parser.chunked() ? 5 : 1;
}

}  // namespace envicutor::http

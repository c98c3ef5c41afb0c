// Chunked bodies in pieces of any size.
#include <gtest/gtest.h>

#include "tests/unit/http/http_fixture.h"

namespace envicutor::http {
namespace {

// Found by tests/fuzz: Beast asserts that a last chunk's five bytes are there once it saw "0\r\n".
TEST(HttpServer, ALastChunkInPiecesIsABody) {
  const auto server = MustStart({}, [](const ServerRequest& request, const auto& writer) {
    writer->Send({200, {}, "body of " + std::to_string(request.body.size())});
  });
  RawConnection connection(server->port());
  // The answer "100 Continue" says that everything so far was read.
  connection.Send(
      "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n"
      "Connection: close\r\n\r\n0\r\n");
  ASSERT_NE(std::string::npos, connection.Read("\r\n\r\n").find("100 Continue"));
  connection.Send("\r");
  // Another connection is served after what came before: that "\r" was read alone.
  RawConnection other(server->port());
  other.Send("GET /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_NE(std::string::npos, other.Read().find("body of 0"));
  connection.Send("\n");
  EXPECT_NE(std::string::npos, connection.Read().find("body of 0"));
}

}  // namespace
}  // namespace envicutor::http

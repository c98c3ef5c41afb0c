// The client's connections: kept ones that have died, answers that break, what a server may not do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "common/http/client.h"
#include "common/http/origin.h"
#include "tests/unit/http/scripted_server.h"

namespace envicutor::http {
namespace {

using Peer = ScriptedServer::Peer;
using testing::ElementsAre;
using testing::HasSubstr;

Result<Response> Ask(const ScriptedServer& server, const std::string& method = "GET") {
  return PlainClient(server.port())->Send({method, "/x", {}, ""});
}

// Answers `bytes` to the one request, then closes.
Result<Response> Answered(const std::string& bytes, const std::string& method = "GET") {
  const ScriptedServer server([&](Peer& peer, int) {
    if (peer.ReadRequest()) peer.Send(bytes);
  });
  return Ask(server, method);
}

TEST(HttpConnections, OneThatTheServerClosedMeanwhileIsNotUsed) {
  Signal closed;
  const ScriptedServer server([&](Peer& peer, int number) {
    while (peer.ReadRequest()) {
      peer.Answer(std::to_string(number));
      if (number > 0) continue;
      peer.Close();
      closed.Set();
      return;
    }
  });
  {
    const auto client = PlainClient(server.port());
    EXPECT_EQ("0", client->Send({"POST", "/a", {}, "1"})->body);
    ASSERT_TRUE(closed.Wait());
    EXPECT_EQ("1", client->Send({"POST", "/b", {}, "1"})->body);
    EXPECT_EQ("1", client->Send({"POST", "/c", {}, "1"})->body);
  }
  EXPECT_THAT(server.requests(), ElementsAre("POST /a", "POST /b", "POST /c"));
}

// Takes a second request on a kept connection and closes without an answer.
class ClosesUnderARequest : public testing::TestWithParam<const char*> {
 protected:
  ScriptedServer server_{[](Peer& peer, int number) {
    while (peer.ReadRequest()) {
      if (number > 0) {
        peer.Answer("again");
        continue;
      }
      peer.Answer("first");
      (void)peer.ReadRequest();
      return;
    }
  }};
};

TEST_P(ClosesUnderARequest, SentAgainOnlyWhenThatDoesNoHarm) {
  const std::string method = GetParam();
  const bool idempotent = method == "GET" || method == "PUT" || method == "DELETE";
  {
    const auto client = PlainClient(server_.port());
    ASSERT_EQ("first", client->Send({"GET", "/1", {}, ""})->body);
    const auto second = client->Send({method, "/2", {}, "body"});
    if (idempotent) {
      ASSERT_TRUE(second.ok()) << second.status().ToString();
      EXPECT_EQ("again", second->body);
    } else {
      EXPECT_EQ(Code::kUnavailable, second.status().code());
      EXPECT_THAT(second.status().message(), HasSubstr("whether the request was carried out"));
    }
  }
  const std::string again = method + " /2";
  if (idempotent) {
    EXPECT_THAT(server_.requests(), ElementsAre("GET /1", again, again));
  } else {
    EXPECT_THAT(server_.requests(), ElementsAre("GET /1", again)) << "it was carried out twice";
  }
}
INSTANTIATE_TEST_SUITE_P(Methods, ClosesUnderARequest,
                         testing::Values("GET", "PUT", "DELETE", "POST", "PATCH"));

TEST(HttpConnections, ANewOneIsTriedOnce) {
  const ScriptedServer server([](Peer& peer, int) { (void)peer.ReadRequest(); });
  const auto response = Ask(server);
  EXPECT_EQ(Code::kUnavailable, response.status().code());
  EXPECT_THAT(response.status().message(), HasSubstr("before it answered"));
  EXPECT_THAT(server.requests(), ElementsAre("GET /x"));
}

TEST(HttpConnections, AnAnswerThatBrokeIsNotAskedForAgain) {
  const ScriptedServer server([](Peer& peer, int) {
    (void)peer.ReadRequest();
    peer.Answer("first");
    (void)peer.ReadRequest();
    peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  });
  const auto client = PlainClient(server.port());
  ASSERT_TRUE(client->Send({"GET", "/1", {}, ""}).ok());
  const auto response = client->Send({"GET", "/2", {}, ""});
  EXPECT_EQ(Code::kUnavailable, response.status().code());
  EXPECT_THAT(response.status().message(), HasSubstr("in the middle of its answer"));
  EXPECT_THAT(server.requests(), ElementsAre("GET /1", "GET /2"));
}

TEST(HttpConnections, WhatNobodyAskedForIsNoAnswer) {
  Signal said;
  const ScriptedServer server([&](Peer& peer, int number) {
    while (peer.ReadRequest()) {
      peer.Answer("of " + std::to_string(number));
      if (number > 0) continue;
      peer.Answer("poison");
      said.Set();
      peer.WaitForClientToClose();
      return;
    }
  });
  const auto client = PlainClient(server.port());
  ASSERT_TRUE(client->Send({"GET", "/1", {}, ""}).ok());
  ASSERT_TRUE(said.Wait());
  EXPECT_EQ("of 1", client->Send({"GET", "/2", {}, ""})->body);
}

TEST(HttpConnections, FramingOfBodies) {
  EXPECT_EQ("ab", Answered("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab")->body);
  EXPECT_EQ("ab",
            Answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1;x\r\nb\r\n"
                     "0\r\nT: 1\r\n\r\n")
                ->body);
  EXPECT_EQ("to the end", Answered("HTTP/1.0 200 OK\r\n\r\nto the end")->body);
  EXPECT_EQ("", Answered("HTTP/1.1 204 No Content\r\n\r\n")->body);
  EXPECT_EQ(304, Answered("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n")->status);
  EXPECT_EQ(200, Answered("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HEAD")->status);
  const auto late = Answered(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
      "HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nc");
  ASSERT_TRUE(late.ok()) << late.status().ToString();
  EXPECT_EQ(201, late->status);
  EXPECT_EQ("c", late->body);
}

TEST(HttpConnections, ConnectionCloseIsRespected) {
  const ScriptedServer server([](Peer& peer, int) {
    if (!peer.ReadRequest()) return;
    peer.Send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    EXPECT_FALSE(peer.ReadRequest()) << "a second request on a connection that was to be closed";
  });
  const auto client = PlainClient(server.port());
  EXPECT_TRUE(client->Send({"POST", "/1", {}, ""}).ok());
  EXPECT_TRUE(client->Send({"POST", "/2", {}, ""}).ok());
}

TEST(HttpConnections, WhatIsNotHttpIsUnavailable) {
  std::string interim;
  for (int i = 0; i < 100; ++i) interim += "HTTP/1.1 102 Processing\r\n\r\n";
  for (const std::string& bytes :
       {std::string("SSH-2.0-OpenSSH\r\n"), std::string("HTTP/1.1 abc\r\n\r\n"), interim,
        std::string("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        std::string("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")}) {
    EXPECT_EQ(Code::kUnavailable, Answered(bytes).status().code()) << bytes.substr(0, 40);
  }
}

TEST(HttpConnections, BoundsHoldBeforeAnythingIsKept) {
  // Neither server ends its answer: the bound alone must.
  const auto endless = [](const std::string& head, const std::string& piece) {
    const ScriptedServer server([&](Peer& peer, int) {
      if (!peer.ReadRequest()) return;
      peer.Send(head);
      for (int i = 0; i < 100; ++i) peer.Send(piece);
      peer.WaitForClientToClose();
    });
    return Ask(server).status();
  };
  const Status header =
      endless("HTTP/1.1 200 OK\r\n", "X-Filler: " + std::string(1000, 'x') + "\r\n");
  EXPECT_EQ(Code::kResourceExhausted, header.code()) << header.ToString();
  EXPECT_THAT(header.message(), HasSubstr("65536"));
  const Status claimed = endless("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n", "");
  EXPECT_EQ(Code::kResourceExhausted, claimed.code()) << claimed.ToString();
}

TEST(HttpConnections, ARequestIsOneRequest) {
  const auto client = PlainClient(1);  // nothing may be sent
  for (const Request& request :
       {Request{"GET", "/a b", {}, ""}, Request{"GET", "/a\r\nX: y", {}, ""},
        Request{"GET /x", "/", {}, ""}, Request{"", "/", {}, ""},
        Request{"GET", "/", {{"X", "a\r\nHost: evil"}}, ""}, Request{"GET", "/", {{"X Y", ""}}, ""},
        Request{"GET", "/\xc3\xa4", {}, ""}}) {
    EXPECT_EQ(Code::kInvalidArgument, client->Send(request).status().code()) << request.target;
  }
}

TEST(HttpConnections, CancelledInAHandshake) {
  Signal accepted;
  const ScriptedServer server([&](Peer& peer, int) {
    accepted.Set();
    peer.WaitForClientToClose();
  });
  ClientOptions options;
  options.base_url = "https://127.0.0.1:" + std::to_string(server.port());
  std::stop_source stop;
  std::jthread canceller([&] {
    (void)accepted.Wait();
    stop.request_stop();
  });
  const auto response = MustConnect(options)->Send({"GET", "/", {}, ""}, stop.get_token());
  EXPECT_EQ(Code::kCancelled, response.status().code()) << response.status().ToString();
}

TEST(HttpConnections, AStoppedRequestDoesNotStopTheNextOfItsThread) {
  const auto server = MustStart({}, Echo);
  const auto client = PlainClient(server->port());
  for (int i = 0; i < 3; ++i) {
    std::stop_source stop;
    std::shared_ptr<ResponseWriter> kept;
    const auto silent = MustStart({}, [&](const ServerRequest&, const auto& writer) {
      kept = writer;
      stop.request_stop();
    });
    const auto stopped = PlainClient(silent->port())->Send({"GET", "/", {}, ""}, stop.get_token());
    EXPECT_EQ(Code::kCancelled, stopped.status().code());
    const std::stop_source other;
    EXPECT_TRUE(client->Send({"GET", "/", {}, ""}, other.get_token()).ok());
  }
}

size_t OpenDescriptors() {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

TEST(HttpConnections, NoDescriptorIsLost) {
  const ScriptedServer server([](Peer& peer, int number) {
    if (number % 3 == 0) return;
    if (!peer.ReadRequest()) return;
    if (number % 3 == 1) peer.Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    if (number % 3 == 2) peer.Answer("whole");
  });
  const auto round = [&](int requests) {
    const std::stop_source stop;
    const auto client = PlainClient(server.port());
    for (int i = 0; i < requests; ++i) {
      (void)client->Send({"GET", "/", {}, ""}, stop.get_token());
      (void)client->Stream(
          {"GET", "/", {}, ""}, [](std::string_view) { return false; }, std::chrono::seconds(5),
          stop.get_token());
    }
  };
  round(1);  // this thread's eventfd
  // The server's side of the last connection may still be open: a lost one each time would be 200.
  const size_t before = OpenDescriptors();
  round(100);
  EXPECT_LE(OpenDescriptors(), before + 1);
}

TEST(HttpOrigin, Forms) {
  const auto v6 = ParseOrigin("https://[::1]:6443/");
  ASSERT_TRUE(v6.ok());
  EXPECT_TRUE(v6->tls);
  EXPECT_EQ("::1", v6->host);
  EXPECT_EQ("6443", v6->port);
  EXPECT_EQ("[::1]:6443", v6->host_header);
  EXPECT_EQ("443", ParseOrigin("https://api.example")->port);
  EXPECT_EQ("80", ParseOrigin("HTTP://api.example/")->port);
  for (const char* url :
       {"http://", "http://:80", "http://a:0", "http://a:65536", "http://a:1x", "http://a/b",
        "http://u@a", "http://[::1", "http://[::1]x", "http://a:", "http://a\nb", "http://[a b]"}) {
    EXPECT_EQ(Code::kInvalidArgument, ParseOrigin(url).status().code()) << url;
  }
}

// The other transport, for what its users need.
TEST(HttpCpprest, SendsReceivesBoundsAndCancels) {
  Signal arrived;
  std::shared_ptr<ResponseWriter> kept;
  const auto server = MustStart({}, [&](const ServerRequest& request, const auto& writer) {
    if (request.path == "/silent") {
      kept = writer;
      arrived.Set();
    } else {
      Echo(request, writer);
    }
  });
  ClientOptions options;
  options.base_url = "http://127.0.0.1:" + std::to_string(server->port());
  options.max_response_bytes = 20;
  options.transport = ClientOptions::Transport::kCpprest;
  const auto client = MustConnect(options);
  EXPECT_EQ("PUT /a 4", client->Send({"PUT", "/a", {}, "body"})->body);
  const std::string path = "/" + std::string(30, 'b');
  EXPECT_EQ(Code::kResourceExhausted, client->Send({"GET", path, {}, ""}).status().code());
  std::string streamed;
  const auto on_data = [&](std::string_view piece) {
    streamed += piece;
    return true;
  };
  EXPECT_TRUE(client->Stream({"GET", "/a", {}, ""}, on_data, std::chrono::seconds(10)).ok());
  EXPECT_EQ("GET /a 0", streamed);
  std::stop_source stop;
  std::jthread canceller([&] {
    (void)arrived.Wait();
    stop.request_stop();
  });
  EXPECT_EQ(Code::kCancelled,
            client->Send({"GET", "/silent", {}, ""}, stop.get_token()).status().code());
}

}  // namespace
}  // namespace envicutor::http

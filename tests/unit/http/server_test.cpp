#include "common/http/server.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/http/http_fixture.h"

namespace envicutor::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kGet = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

TEST(HttpServer, KeepsTheConnectionAndAnswersPipelinedRequestsInOrder) {
  const auto server = MustStart({}, Echo);
  RawConnection connection(server->port());
  std::string requests;
  for (int i = 0; i < 50; ++i) {
    requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n";
  }
  requests += "GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  ASSERT_TRUE(connection.Send(requests));
  const std::string all = connection.Read();
  size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = all.find("GET /" + std::to_string(i) + " 0", at);
    ASSERT_NE(std::string::npos, at) << i << "\n" << all;
  }
  EXPECT_NE(std::string::npos, all.find("GET /last 0", at));
  EXPECT_FALSE(connection.TimedOut()) << "Connection: close must close";
}

TEST(HttpServer, PipelinedRequestsWithHandlersOnTheIoThread) {
  ServerOptions options;
  options.handler_threads = 0;
  const auto server = MustStart(options, Echo);
  RawConnection connection(server->port());
  std::string requests;
  for (int i = 0; i < 2000; ++i) requests += kGet;
  requests += "GET /last HTTP/1.1\r\nConnection: close\r\n\r\n";
  std::jthread sender([&] { EXPECT_TRUE(connection.Send(requests)); });
  EXPECT_NE(std::string::npos, connection.Read().find("GET /last 0"));
}

TEST(HttpServer, ParsesPathAndQuery) {
  std::string seen;
  const auto server = MustStart({}, [&](const ServerRequest& request, const auto& writer) {
    seen = request.path + "|" + request.Query("q") + "|" + request.Query("none", "d") + "|" +
           std::to_string(request.query.count("q"));
    writer->Send({204, {}, ""});
  });
  RawConnection connection(server->port());
  connection.Send("GET http://host:1/x%2Fy%20z?q=a+b%2B&q=2&&flag HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_NE(std::string::npos, connection.Read("\r\n\r\n").find(" 204 "));
  EXPECT_EQ("/x/y z|a b+|d|2", seen);
}

TEST(HttpServer, RefusesBadRequestsAndTargets) {
  const auto server = MustStart({}, [](const ServerRequest& request, const auto&) {
    ADD_FAILURE() << "reached a handler: " << request.path;
  });
  for (const std::string request : {
           "\x16\x03\x01\x02 garbage\r\n\r\n",
           "GET /a/../b HTTP/1.1\r\n\r\n",
           "GET /a/%2e%2e/b HTTP/1.1\r\n\r\n",
           "GET /a/%00 HTTP/1.1\r\n\r\n",
           "OPTIONS * HTTP/1.1\r\n\r\n",
           "GET /a HTTP/9.9\r\n\r\n",
           "GET /a HTTP/1.1\r\nBad Name: x\r\n\r\n",
           "POST /a HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
           "POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
           "POST /a HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
       }) {
    RawConnection connection(server->port());
    connection.Send(request);
    connection.CloseSending();
    const std::string answer = connection.Read();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << request << "\n--\n" << answer;
    EXPECT_FALSE(connection.TimedOut()) << request;
  }
}

TEST(HttpServer, RefusesHeadersOverTheLimit) {
  ServerOptions options;
  options.max_header_bytes = 4096;
  const auto server = MustStart(options, Echo);
  RawConnection connection(server->port());
  connection.Send("GET / HTTP/1.1\r\nX: " + std::string(5000, 'a') + "\r\n\r\n");
  EXPECT_TRUE(connection.Read().starts_with("HTTP/1.1 431 "));
  // Without an end in sight, too.
  RawConnection endless(server->port());
  endless.Send("GET / HTTP/1.1\r\nX: " + std::string(200'000, 'a'));
  EXPECT_TRUE(endless.Read().starts_with("HTTP/1.1 431 "));
}

TEST(HttpServer, RefusesBodiesOverTheLimit) {
  ServerOptions options;
  options.max_body_bytes = 1000;
  const auto server = MustStart(options, Echo);
  {
    RawConnection exact(server->port());
    exact.Send("PUT / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + std::string(1000, 'b'));
    EXPECT_NE(std::string::npos, exact.Read("PUT / 1000").find(" 200 "));
  }
  {
    RawConnection declared(server->port());  // refused by the header alone
    declared.Send("PUT / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n");
    EXPECT_TRUE(declared.Read().starts_with("HTTP/1.1 413 "));
  }
  {
    RawConnection chunked(server->port());
    chunked.Send("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" +
                 std::string(1000, 'b') + "\r\n1\r\nb\r\n");
    EXPECT_TRUE(chunked.Read().starts_with("HTTP/1.1 413 "));
  }
  {
    // The answer reaches a client that is still sending far more than the socket buffers hold.
    RawConnection sending(server->port());
    sending.Send("PUT / HTTP/1.1\r\nContent-Length: 50000000\r\n\r\n");
    sending.Send(std::string(2'000'000, 'b'));
    EXPECT_TRUE(sending.Read("\r\n\r\n").starts_with("HTTP/1.1 413 "));
  }
}

TEST(HttpServer, AnswersExpectContinue) {
  const auto server = MustStart({}, Echo);
  RawConnection connection(server->port());
  connection.Send("PUT /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ("HTTP/1.1 100 Continue\r\n\r\n", connection.Read("\r\n\r\n"));
  connection.Send("abcd");
  EXPECT_NE(std::string::npos, connection.Read("PUT /x 4").find(" 200 "));
}

TEST(HttpServer, SlowRequestsGet408AndAreClosed) {
  ServerOptions options;
  options.read_timeout = seconds(1);
  const auto server = MustStart(options, Echo);
  for (const std::string half :
       {"GET /slow HT", "PUT /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc"}) {
    RawConnection connection(server->port());
    connection.Send(half);
    EXPECT_TRUE(connection.Read().starts_with("HTTP/1.1 408 "));
    EXPECT_FALSE(connection.TimedOut()) << "must be closed";
  }
}

TEST(HttpServer, IdleConnectionsAreClosedSilently) {
  ServerOptions options;
  options.idle_timeout = seconds(1);
  const auto server = MustStart(options, Echo);
  RawConnection never(server->port());
  RawConnection once(server->port());
  once.Send(kGet);
  EXPECT_NE(std::string::npos, once.Read("GET /a 0").find(" 200 "));
  EXPECT_EQ("", once.Read());
  EXPECT_EQ("", never.Read());
  EXPECT_FALSE(never.TimedOut() || once.TimedOut());
}

TEST(HttpServer, ConnectionsOverTheLimitAreClosedAndPlacesComeBack) {
  ServerOptions options;
  options.max_connections = 2;
  const auto server = MustStart(options, Echo);
  auto first = std::make_unique<RawConnection>(server->port());
  RawConnection second(server->port());
  first->Send(kGet);
  second.Send(kGet);
  first->Read("GET /a 0");
  second.Read("GET /a 0");
  {
    RawConnection third(server->port());
    third.Send(kGet);
    EXPECT_EQ("", third.Read());
    EXPECT_FALSE(third.TimedOut());
  }
  first.reset();
  // The place is free once the server has read the end of the first connection.
  std::string answer;
  for (int i = 0; i < 1000 && answer.empty(); ++i) {
    RawConnection again(server->port());
    again.Send(kGet);
    answer = again.Read("GET /a 0");
  }
  EXPECT_NE(std::string::npos, answer.find(" 200 "));
}

TEST(HttpServer, WhatIsAnsweredAtOnceWaitsForNoHandlerThread) {
  ServerOptions options;
  options.handler_threads = 1;
  options.at_once = [](const ServerRequest& request) { return request.path == "/a"; };
  Signal release;
  Signal busy;
  const auto server = MustStart(options, [&](const ServerRequest& request, const auto& writer) {
    if (request.path != "/a") {
      busy.Set();
      EXPECT_TRUE(release.Wait());
    }
    Echo(request, writer);
  });
  RawConnection working(server->port());
  working.Send("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(busy.Wait()) << "what is not at once must not hold the I/O thread";
  RawConnection other(server->port());
  for (int i = 0; i < 3; ++i) {
    other.Send(kGet);
    EXPECT_NE(std::string::npos, other.Read("GET /a 0").find(" 200 ")) << i;
  }
  release.Set();
  EXPECT_NE(std::string::npos, working.Read("GET /slow 0").find(" 200 "));
}

TEST(HttpServer, TooManyQueuedRequestsGet503WithRetryAfter) {
  ServerOptions options;
  options.handler_threads = 1;
  options.max_queued_requests = 1;
  Signal release;
  Signal busy;
  const auto server = MustStart(options, [&](const ServerRequest& request, const auto& writer) {
    busy.Set();
    EXPECT_TRUE(release.Wait());
    Echo(request, writer);
  });
  RawConnection working(server->port());
  working.Send(kGet);
  ASSERT_TRUE(busy.Wait());
  RawConnection queued(server->port());
  queued.Send(kGet);
  RawConnection other(server->port());
  other.Send(kGet);
  // One of the two is in the queue, the other one refused at once.
  std::jthread releaser;
  const std::string refused = [&] {
    // `queued` and `other` are read by threads, as only one of them has an answer before the
    // release.
    std::string answer;
    Signal got;
    std::mutex mutex;
    auto read = [&](RawConnection& connection) {
      const std::string text = connection.Read("\r\n\r\n");
      const std::scoped_lock lock(mutex);
      if (answer.empty()) answer = text;
      got.Set();
    };
    std::jthread a([&] { read(queued); });
    std::jthread b([&] { read(other); });
    EXPECT_TRUE(got.Wait());
    release.Set();
    a.join();
    b.join();
    return answer;
  }();
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 503 ")) << refused;
  EXPECT_NE(std::string::npos, refused.find("Retry-After: "));
  EXPECT_NE(std::string::npos, working.Read("GET /a 0").find(" 200 "));
}

TEST(HttpServer, DestroyedWriterIs500AndAThrowingHandlerToo) {
  const auto server = MustStart({}, [](const ServerRequest& request, const auto&) {
    if (request.path == "/throw") throw std::runtime_error("as the test wants");
  });
  const auto client = PlainClient(server->port());
  EXPECT_EQ(500, client->Send({"GET", "/forget", {}, ""})->status);
  EXPECT_EQ(500, client->Send({"GET", "/throw", {}, ""})->status);
}

TEST(HttpServer, SecondAnswerHasNoEffect) {
  const auto server = MustStart({}, [](const ServerRequest&, const auto& writer) {
    writer->Send({200, {}, "first"});
    writer->Send({500, {}, "second"});
    writer->StartStream(200, {});
    EXPECT_FALSE(writer->Write("third"));
  });
  const auto client = PlainClient(server->port());
  for (int i = 0; i < 3; ++i) EXPECT_EQ("first", client->Send({"GET", "/", {}, ""})->body);
}

TEST(HttpServer, AnswersLateAndFromAnotherThread) {
  std::vector<std::jthread> threads;
  std::mutex mutex;
  const auto server = MustStart({}, [&](const ServerRequest&, const auto& writer) {
    const std::scoped_lock lock(mutex);
    threads.emplace_back([writer] { writer->Send({200, {}, "late"}); });
  });
  EXPECT_EQ("late", PlainClient(server->port())->Send({"GET", "/", {}, ""})->body);
}

TEST(HttpServer, HeaderValuesCannotSplitTheResponse) {
  const auto server = MustStart({}, [](const ServerRequest&, const auto& writer) {
    writer->Send({200, {{"X-A", "1\r\nX-B: 2\r\n\r\nbody"}, {"Content-Length", "999"}}, "ok"});
  });
  const auto response = PlainClient(server->port())->Send({"GET", "/", {}, ""});
  ASSERT_TRUE(response.ok());
  EXPECT_EQ("", response->headers.Get("X-B"));
  EXPECT_EQ("ok", response->body);
}

TEST(HttpServer, HeadHasTheLengthAndNoBody) {
  const auto server = MustStart({}, Echo);
  RawConnection connection(server->port());
  connection.Send("HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\nConnection: close\r\n\r\n");
  const std::string all = connection.Read();
  EXPECT_NE(std::string::npos, all.find("Content-Length: 9\r\n\r\nHTTP/1.1 200 OK")) << all;
}

TEST(HttpServer, Http10GetsAnUnchunkedStreamAndTheEnd) {
  const auto server = MustStart({}, [](const ServerRequest&, const auto& writer) {
    writer->StartStream(200, {});
    writer->Write("one");
    writer->Write("two");
    writer->Finish();
  });
  RawConnection connection(server->port());
  connection.Send("GET / HTTP/1.0\r\n\r\n");
  const std::string all = connection.Read();
  EXPECT_TRUE(all.ends_with("\r\n\r\nonetwo")) << all;
  EXPECT_EQ(std::string::npos, all.find("chunked"));
}

TEST(HttpServer, OnCloseRunsWhenTheClientGoesDuringARequest) {
  Signal arrived;
  Signal closed;
  std::shared_ptr<ResponseWriter> kept;
  const auto server = MustStart({}, [&](const ServerRequest&, const auto& writer) {
    kept = writer;
    writer->OnClose([&closed] { closed.Set(); });
    arrived.Set();
  });
  {
    RawConnection connection(server->port());
    connection.Send(kGet);
    ASSERT_TRUE(arrived.Wait());
    EXPECT_FALSE(closed.IsSet());
  }
  EXPECT_TRUE(closed.Wait());
  kept->Send({200, {}, "into the void"});
}

TEST(HttpServer, OnCloseDoesNotRunAfterACompleteAnswer) {
  std::atomic<int> calls{0};
  auto server = MustStart({}, [&](const ServerRequest& request, const auto& writer) {
    writer->OnClose([&calls] { ++calls; });
    Echo(request, writer);
  });
  EXPECT_TRUE(PlainClient(server->port())->Send({"GET", "/", {}, ""}).ok());
  server.reset();
  EXPECT_EQ(0, calls);
}

TEST(HttpServer, HalfClosedClientStillGetsItsAnswer) {
  Signal closed;
  const auto server = MustStart({}, [&](const ServerRequest& request, const auto& writer) {
    writer->OnClose([&closed] { closed.Set(); });
    EXPECT_TRUE(closed.Wait());
    Echo(request, writer);
  });
  RawConnection connection(server->port());
  connection.Send(kGet);
  connection.CloseSending();
  EXPECT_TRUE(connection.Read().ends_with("GET /a 0"));
}

TEST(HttpServer, StreamBacklogIsBounded) {
  ServerOptions options;
  options.max_stream_backlog = 100'000;
  Signal cut;
  const auto server = MustStart(options, [&](const ServerRequest&, const auto& writer) {
    writer->StartStream(200, {});
    size_t written = 0;
    while (written < (512U << 20U) && writer->Write(std::string(10'000, 'x'))) written += 10'000;
    EXPECT_LT(written, 256U << 20U);
    EXPECT_FALSE(writer->Write("x"));
    cut.Set();
  });
  RawConnection connection(server->port());
  connection.Send(kGet);
  ASSERT_TRUE(cut.Wait());
  const std::string all = connection.Read();
  EXPECT_FALSE(all.ends_with("0\r\n\r\n")) << "a cut stream must not look complete";
  EXPECT_FALSE(connection.TimedOut());
}

TEST(HttpServer, ClientThatDoesNotReadIsCutAfterTheWriteTimeout) {
  ServerOptions options;
  options.write_timeout = seconds(1);
  Signal closed;
  const auto server = MustStart(options, [&](const ServerRequest&, const auto& writer) {
    writer->OnClose([&closed] { closed.Set(); });
    writer->StartStream(200, {});
    for (int i = 0; i < 12; ++i) writer->Write(std::string(1U << 20U, 'x'));
    EXPECT_TRUE(closed.Wait());
  });
  RawConnection connection(server->port());
  connection.Send(kGet);
  EXPECT_TRUE(closed.Wait());
}

TEST(HttpServer, StopLetsRunningRequestsFinish) {
  Signal arrived;
  Signal release;
  auto server = MustStart({}, [&](const ServerRequest& request, const auto& writer) {
    arrived.Set();
    EXPECT_TRUE(release.Wait());
    Echo(request, writer);
  });
  const uint16_t port = server->port();
  RawConnection idle(port);
  RawConnection running(port);
  running.Send(kGet);
  ASSERT_TRUE(arrived.Wait());
  std::jthread stopper([&] { server->Stop(seconds(10)); });
  EXPECT_EQ("", idle.Read()) << "idle connections are closed at once";
  release.Set();
  const std::string answer = running.Read();
  EXPECT_TRUE(answer.ends_with("GET /a 0")) << answer;
  EXPECT_NE(std::string::npos, answer.find("Connection: close"));
  stopper.join();
  server->Stop(seconds(0));
}

TEST(HttpServer, StopCutsWhatIsStillRunningAfterTheGrace) {
  Signal arrived;
  Signal closed;
  std::shared_ptr<ResponseWriter> kept;
  auto server = MustStart({}, [&](const ServerRequest&, const auto& writer) {
    kept = writer;
    writer->OnClose([&closed] { closed.Set(); });
    writer->StartStream(200, {});
    arrived.Set();
  });
  RawConnection connection(server->port());
  connection.Send(kGet);
  ASSERT_TRUE(arrived.Wait());
  server->Stop(milliseconds(10));
  EXPECT_TRUE(closed.IsSet());
  server.reset();
  EXPECT_FALSE(kept->Write("after the server is gone"));
  kept->Finish();
}

TEST(HttpServer, ManyConnectionsAtOnceOnSeveralIoThreads) {
  ServerOptions options;
  options.io_threads = 3;
  const auto server = MustStart(options, Echo);
  std::vector<std::jthread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 6; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        RawConnection connection(server->port());
        connection.Send("PUT /p HTTP/1.1\r\nContent-Length: 70000\r\n\r\n" +
                        std::string(70'000, 'c'));
        if (connection.Read("PUT /p 70000").find(" 200 ") != std::string::npos) ++good;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(120, good);
}

TEST(HttpServer, RefusesWhatItCannotListenOn) {
  ServerOptions options;
  options.address = "localhost";
  EXPECT_EQ(Code::kInvalidArgument, StartServer(options, Echo).status().code());
  options.address = "127.0.0.1";
  const auto server = MustStart(options, Echo);
  options.port = server->port();
  EXPECT_FALSE(StartServer(options, Echo).ok());
}

}  // namespace
}  // namespace envicutor::http

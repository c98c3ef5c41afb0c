#include "common/http/client.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/unit/http/http_fixture.h"

namespace envicutor::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(HttpClient, SendsMethodTargetHeadersAndBody) {
  const auto server = MustStart({}, [](const ServerRequest& request, const auto& writer) {
    writer->Send({201,
                  {{"X-Seen", request.headers.Get("x-sent")}},
                  request.method + " " + request.path + " " + request.Query("a") + " " +
                      request.headers.Get("content-type") + " " + request.body});
  });
  const auto client = PlainClient(server->port());
  const auto response = client->Send(
      {"PATCH", "/x%20y?a=b%26c", {{"X-Sent", "v"}, {"Content-Type", "application/json"}}, "{}"});
  ASSERT_TRUE(response.ok()) << response.status().ToString();
  EXPECT_EQ(201, response->status);
  EXPECT_EQ("v", response->headers.Get("X-Seen"));
  EXPECT_EQ("PATCH /x y b&c application/json {}", response->body);
}

TEST(HttpClient, KeepsConnections) {
  ServerOptions options;
  options.max_connections = 4;
  const auto server = MustStart(options, Echo);
  const auto client = PlainClient(server->port());
  for (int i = 0; i < 200; ++i) {
    const auto response = client->Send({"GET", "/", {}, ""});
    ASSERT_TRUE(response.ok()) << response.status().ToString();
  }
}

TEST(HttpClient, EveryStatusIsAResponseAndRedirectsAreNotFollowed) {
  const auto server = MustStart({}, [](const ServerRequest& request, const auto& writer) {
    const int status = std::stoi(request.path.substr(1));
    writer->Send({status, {{"Location", "/200"}}, status == 204 ? "" : "body"});
  });
  const auto client = PlainClient(server->port());
  for (const int status : {200, 204, 301, 302, 304, 404, 410, 429, 500, 503}) {
    const auto response = client->Send({"GET", "/" + std::to_string(status), {}, ""});
    ASSERT_TRUE(response.ok()) << response.status().ToString();
    EXPECT_EQ(status, response->status);
  }
}

TEST(HttpClient, RefusesABodyOverItsBoundWhileItArrives) {
  Signal closed;
  std::shared_ptr<ResponseWriter> kept;
  const auto server = MustStart({}, [&](const ServerRequest&, const auto& writer) {
    kept = writer;
    writer->OnClose([&closed] { closed.Set(); });
    writer->StartStream(200, {});
    // Endless as far as the client can know: it must not wait for the end to see that it is too
    // much.
    for (int i = 0; i < 64; ++i) writer->Write(std::string(1024, 'x'));
  });
  ClientOptions options;
  options.base_url = "http://127.0.0.1:" + std::to_string(server->port());
  options.max_response_bytes = 32U << 10U;
  const auto client = MustConnect(options);
  const auto response = client->Send({"GET", "/", {}, ""});
  EXPECT_EQ(Code::kResourceExhausted, response.status().code()) << response.status().ToString();
  EXPECT_TRUE(closed.Wait()) << "the connection must be closed, not read on";
}

TEST(HttpClient, UnavailableWhenNobodyListens) {
  uint16_t port = 0;
  { port = MustStart({}, Echo)->port(); }
  const auto response = PlainClient(port)->Send({"GET", "/", {}, ""});
  EXPECT_EQ(Code::kUnavailable, response.status().code()) << response.status().ToString();
}

TEST(HttpClient, UnavailableWhenTheServerDiesInTheMiddleOfABody) {
  Signal started;
  auto server = MustStart({}, [&](const ServerRequest&, const auto& writer) {
    writer->StartStream(200, {});
    writer->Write("half");
    started.Set();
    // The writer goes away without Finish: the connection is cut.
  });
  const auto response = PlainClient(server->port())->Send({"GET", "/", {}, ""});
  EXPECT_TRUE(started.IsSet());
  EXPECT_EQ(Code::kUnavailable, response.status().code()) << response.status().ToString();
}

TEST(HttpClient, DeadlineWhenNothingMoves) {
  std::shared_ptr<ResponseWriter> kept;
  const auto server =
      MustStart({}, [&](const ServerRequest&, const auto& writer) { kept = writer; });
  ClientOptions options;
  options.base_url = "http://127.0.0.1:" + std::to_string(server->port());
  options.timeout = milliseconds(50);
  const auto response = MustConnect(options)->Send({"GET", "/", {}, ""});
  EXPECT_EQ(Code::kDeadlineExceeded, response.status().code()) << response.status().ToString();
}

TEST(HttpClient, CancelledWhileItWaitsForTheAnswer) {
  Signal arrived;
  Signal closed;
  std::shared_ptr<ResponseWriter> kept;
  const auto server = MustStart({}, [&](const ServerRequest&, const auto& writer) {
    kept = writer;
    writer->OnClose([&closed] { closed.Set(); });
    arrived.Set();
  });
  const auto client = PlainClient(server->port());
  std::stop_source stop;
  std::jthread canceller([&] {
    (void)arrived.Wait();
    stop.request_stop();
  });
  const auto response = client->Send({"GET", "/", {}, ""}, stop.get_token());
  EXPECT_EQ(Code::kCancelled, response.status().code()) << response.status().ToString();
  EXPECT_TRUE(closed.Wait()) << "the server must see the connection go";
  EXPECT_EQ(Code::kCancelled, client->Send({"GET", "/", {}, ""}, stop.get_token()).status().code());
}

TEST(HttpClientStream, GivesPiecesAsTheyCome) {
  Signal first_seen;
  const auto server = MustStart({}, [&](const ServerRequest&, const auto& writer) {
    writer->StartStream(200, {{"X-Kind", "watch"}});
    writer->Write("one\n");
    EXPECT_TRUE(first_seen.Wait()) << "the first piece must arrive before the second is written";
    writer->Write("two\n");
    writer->Finish();
  });
  std::string all;
  const auto response = PlainClient(server->port())
                            ->Stream(
                                {"GET", "/", {}, ""},
                                [&](std::string_view piece) {
                                  all += piece;
                                  first_seen.Set();
                                  return true;
                                },
                                seconds(10));
  ASSERT_TRUE(response.ok()) << response.status().ToString();
  EXPECT_EQ("watch", response->headers.Get("x-kind"));
  EXPECT_EQ("one\ntwo\n", all);
}

TEST(HttpClientStream, EndsWhenTheConsumerSaysSo) {
  Signal closed;
  const auto server = MustStart({}, [&](const ServerRequest&, const auto& writer) {
    writer->OnClose([&closed] { closed.Set(); });
    writer->StartStream(200, {});
    writer->Write("one");
    EXPECT_TRUE(closed.Wait());
    EXPECT_FALSE(writer->Write("two"));
  });
  const auto response =
      PlainClient(server->port())
          ->Stream(
              {"GET", "/", {}, ""}, [](std::string_view) { return false; }, seconds(10));
  ASSERT_TRUE(response.ok()) << response.status().ToString();
  EXPECT_EQ(200, response->status);
  EXPECT_TRUE(closed.Wait());
}

TEST(HttpClientStream, BodyOfARefusalIsInTheResponse) {
  const auto server = MustStart({}, [](const ServerRequest&, const auto& writer) {
    writer->Send({410, {}, "too old"});
  });
  const auto response = PlainClient(server->port())
                            ->Stream(
                                {"GET", "/", {}, ""},
                                [](std::string_view) {
                                  ADD_FAILURE() << "on_data is for 2xx";
                                  return true;
                                },
                                seconds(10));
  ASSERT_TRUE(response.ok()) << response.status().ToString();
  EXPECT_EQ(410, response->status);
  EXPECT_EQ("too old", response->body);
}

TEST(HttpClientStream, IdleStreamIsGivenUp) {
  std::shared_ptr<ResponseWriter> kept;
  const auto server = MustStart({}, [&](const ServerRequest&, const auto& writer) {
    kept = writer;
    writer->StartStream(200, {});
    writer->Write("one");
  });
  const auto response =
      PlainClient(server->port())
          ->Stream(
              {"GET", "/", {}, ""}, [](std::string_view) { return true; }, seconds(1));
  EXPECT_EQ(Code::kDeadlineExceeded, response.status().code()) << response.status().ToString();
}

TEST(HttpClientStream, CutStreamIsUnavailable) {
  const auto server = MustStart({}, [](const ServerRequest&, const auto& writer) {
    writer->StartStream(200, {});
    writer->Write("one");
  });
  const auto response =
      PlainClient(server->port())
          ->Stream(
              {"GET", "/", {}, ""}, [](std::string_view) { return true; }, seconds(10));
  EXPECT_EQ(Code::kUnavailable, response.status().code()) << response.status().ToString();
}

TEST(HttpClientStream, SlowConsumerHoldsTheServerBack) {
  // The server's backlog bound and the socket buffers are all that is between: a consumer that does
  // not consume must make the server cut the stream, not fill the client's memory.
  ServerOptions options;
  options.max_stream_backlog = 1U << 20U;
  Signal cut;
  const auto server = MustStart(options, [&](const ServerRequest&, const auto& writer) {
    writer->StartStream(200, {});
    size_t written = 0;
    while (written < (256U << 20U) && writer->Write(std::string(64U << 10U, 'x')))
      written += 64U << 10U;
    EXPECT_LT(written, 64U << 20U) << "the client read on although nobody consumed";
    cut.Set();
  });
  const auto response = PlainClient(server->port())
                            ->Stream(
                                {"GET", "/", {}, ""},
                                [&](std::string_view) {
                                  EXPECT_TRUE(cut.Wait());
                                  return true;
                                },
                                seconds(10));
  EXPECT_EQ(Code::kUnavailable, response.status().code()) << response.status().ToString();
}

TEST(HttpClient, RefusesWhatIsNotAnHttpUrl) {
  for (const char* url : {"", "127.0.0.1:80", "ftp://x", "unix:/x", "http://a b"}) {
    ClientOptions options;
    options.base_url = url;
    EXPECT_EQ(Code::kInvalidArgument, NewClient(options).status().code()) << url;
  }
}

TEST(HttpClient, ManyThreadsShareOneClient) {
  const auto server = MustStart({}, Echo);
  const auto client = PlainClient(server->port());
  std::vector<std::jthread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string body(static_cast<size_t>(t * 1000 + i), 'b');
        const auto response = client->Send({"PUT", "/p", {}, body});
        if (response.ok() && response->body == "PUT /p " + std::to_string(body.size())) ++good;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(400, good);
}

}  // namespace
}  // namespace envicutor::http

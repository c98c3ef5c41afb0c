#include "standalone/node/log_server.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <list>
#include <thread>
#include <vector>

#include "common/http/server.h"
#include "standalone/node/log_file.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxFollowers = 64;

std::optional<int64_t> Number(const http::ServerRequest& request, const std::string& key) {
  const std::string text = request.Query(key);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string> SplitPath(const std::string& path) {
  std::vector<std::string> parts;
  size_t at = 0;
  while (at < path.size()) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (end > at) parts.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

http::Response Text(int status, std::string body) {
  return {status, {{"Content-Type", "text/plain; charset=utf-8"}}, std::move(body)};
}

struct Follow {
  std::string ns;
  std::string pod;
  std::string container;
  LogFollower log;
  std::shared_ptr<http::ResponseWriter> writer;
};

class HttpLogServer final : public LogServer {
 public:
  HttpLogServer(NodeContext& context, LogLookup lookup)
      : context_(context), lookup_(std::move(lookup)) {}

  ~HttpLogServer() override {
    if (server_) server_->Stop(std::chrono::milliseconds(100));
    thread_.request_stop();
    context_.log_hub.Notify();
  }

  Status Start(std::optional<http::TlsServerOptions> tls) {
    http::ServerOptions options;
    options.tls = std::move(tls);
    options.handler_threads = 2;
    options.max_connections = 128;
    options.max_body_bytes = 1024;
    auto server = http::StartServer(options, [this](const http::ServerRequest& request,
                                                    std::shared_ptr<http::ResponseWriter> writer) {
      Handle(request, std::move(writer));
    });
    if (!server.ok()) return server.status();
    server_ = std::move(*server);
    thread_ = std::jthread([this](std::stop_token stop) { FollowLoop(stop); });
    return OkStatus();
  }

  uint16_t port() const override { return server_->port(); }

 private:
  void Handle(const http::ServerRequest& request, std::shared_ptr<http::ResponseWriter> writer) {
    const std::vector<std::string> parts = SplitPath(request.path);
    if (request.method == "GET" && request.path == "/healthz") {
      writer->Send(Text(200, "ok"));
      return;
    }
    if (request.method != "GET" || parts.size() != 4 || parts[0] != "containerLogs") {
      writer->Send(Text(404, "404 page not found\n"));
      return;
    }
    Result<LogTarget> target = lookup_(parts[1], parts[2], parts[3]);
    if (!target.ok()) {
      writer->Send(Text(404, target.status().message() + "\n"));
      return;
    }
    if (request.Query("previous") == "true") {
      target->path = PreviousLog(target->path);
      target->over = true;
      if (::access(target->path.c_str(), F_OK) != 0) {
        writer->Send(Text(400, "previous terminated container \"" + parts[3] + "\" in pod \"" +
                                   parts[2] + "\" not found\n"));
        return;
      }
    }
    LogQuery query;
    query.tail_lines = Number(request, "tailLines");
    query.limit_bytes = Number(request, "limitBytes");
    query.timestamps = request.Query("timestamps") == "true";
    if (const auto seconds = Number(request, "sinceSeconds")) {
      query.since = context_.clock->WallNow() - std::chrono::seconds(*seconds);
    }
    if (const auto time = ParseRfc3339(request.Query("sinceTime")); time.ok()) query.since = *time;
    const bool follow = request.Query("follow") == "true" && !target->over;
    Follow entry{parts[1], parts[2], parts[3], LogFollower(target->path, query.timestamps), writer};
    // First the place to go on from, then what is before it: a line may come twice, none is lost.
    if (follow) entry.log.SeekToEnd();
    const Result<std::string> text = ReadLog(target->path, query);
    if (!follow) {
      writer->Send(Text(200, text.ok() ? *text : std::string()));
      return;
    }
    writer->StartStream(200, {{"Content-Type", "text/plain; charset=utf-8"}});
    if (text.ok() && !text->empty()) writer->Write(*text);
    const std::lock_guard lock(mutex_);
    if (follows_.size() >= kMaxFollowers) {
      writer->Finish();
      return;
    }
    follows_.push_back(std::move(entry));
    context_.log_hub.Notify();
  }

  void FollowLoop(const std::stop_token& stop) {
    uint64_t seen = 0;
    while (!stop.stop_requested()) {
      seen = context_.log_hub.WaitForNews(seen, std::chrono::seconds(1));
      const std::lock_guard lock(mutex_);
      follows_.remove_if([this](Follow& follow) { return !Forward(follow); });
    }
    for (Follow& follow : follows_) follow.writer->Finish();
  }

  bool Forward(Follow& follow) {
    const Result<LogTarget> target = lookup_(follow.ns, follow.pod, follow.container);
    const std::string text = follow.log.Next();
    if (!text.empty() && !follow.writer->Write(text)) return false;
    if (target.ok() && !target->over) return true;
    follow.writer->Finish();
    return false;
  }

  NodeContext& context_;
  LogLookup lookup_;
  std::unique_ptr<http::Server> server_;
  std::mutex mutex_;
  std::list<Follow> follows_;
  std::jthread thread_;
};

}  // namespace

Result<std::unique_ptr<LogServer>> StartLogServer(NodeContext& context, LogLookup lookup,
                                                  std::optional<http::TlsServerOptions> tls) {
  auto server = std::make_unique<HttpLogServer>(context, std::move(lookup));
  ENVICUTOR_RETURN_IF_ERROR(server->Start(std::move(tls)));
  return std::unique_ptr<LogServer>(std::move(server));
}

}  // namespace envicutor::standalone

#include "executor-agent/server/api_handler.h"

#include <charconv>
#include <optional>

#include "common/api/bounds.h"
#include "common/api/trace.h"
#include "common/base/json.h"
#include "common/base/log.h"

namespace envicutor::agent {
namespace {

constexpr std::string_view kRunsPrefix = "/v1/runs/";
constexpr int64_t kMaxPollSeconds = 30;
constexpr int64_t kDefaultResults = 64;
constexpr int64_t kMaxResults = 500;
constexpr size_t kMaxAcknowledged = 10'000;

http::Response JsonResponse(int status, const Json& body) {
  return {status, {{"Content-Type", "application/json"}}, DumpJson(body)};
}

http::Response Refusal(int status, const std::string& message) {
  return JsonResponse(status, {{"error", message}});
}

http::Response Text(int status, const std::string& text) {
  return {status, {{"Content-Type", "text/plain; charset=utf-8"}}, text + '\n'};
}

std::optional<int64_t> ParseNumber(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// "/v1/runs/UID/ATTEMPT".
std::optional<RunKey> KeyOfPath(std::string_view path) {
  if (!path.starts_with(kRunsPrefix)) return std::nullopt;
  path.remove_prefix(kRunsPrefix.size());
  const size_t slash = path.find('/');
  if (slash == std::string_view::npos || slash == 0) return std::nullopt;
  const auto attempt = ParseNumber(path.substr(slash + 1));
  if (!attempt || *attempt < 1) return std::nullopt;
  return RunKey{std::string(path.substr(0, slash)), *attempt};
}

int StatusOf(TakeOutcome outcome) {
  switch (outcome) {
    case TakeOutcome::kTaken:
      return 202;
    case TakeOutcome::kSame:
      return 200;
    case TakeOutcome::kSuperseded:
      return 409;
    case TakeOutcome::kNoCapacity:
      return 429;
    case TakeOutcome::kDraining:
    case TakeOutcome::kUnavailable:
      return 503;
  }
  return 500;
}

http::Response MethodNotAllowed(const std::string& allowed) {
  http::Response response = Refusal(405, "the methods here are " + allowed);
  response.headers.Set("Allow", allowed);
  return response;
}

}  // namespace

void ApiHandler::operator()(const http::ServerRequest& request,
                            const std::shared_ptr<http::ResponseWriter>& writer) {
  if (request.path == "/healthz") return writer->Send(Text(200, "ok"));
  if (request.path == "/readyz") {
    return writer->Send(runs_.load().draining ? Text(503, "draining") : Text(200, "ok"));
  }
  if (!request.peer || request.peer->common_name != kOperatorName) {
    log::Warn("a client was refused",
              {{"address", request.remote_address},
               {"commonName", request.peer ? request.peer->common_name : ""}});
    return writer->Send(Refusal(403, "only " + std::string(kOperatorName) + " is served here"));
  }
  if (request.path == "/v1/results" && request.method == "GET") return Results(request, writer);
  writer->Send(Answer(request));
}

http::Response ApiHandler::Answer(const http::ServerRequest& request) {
  if (request.path.starts_with(kRunsPrefix)) return RunByKey(request);
  if (request.path == "/v1/runs") {
    return request.method == "GET" ? List() : MethodNotAllowed("GET");
  }
  if (request.path == "/v1/info") {
    return request.method == "GET" ? Info() : MethodNotAllowed("GET");
  }
  if (request.path == kEnvironmentsPath) {
    return request.method == "PUT" ? PutEnvironments(request) : MethodNotAllowed("PUT");
  }
  if (request.path == "/v1/results/ack") {
    return request.method == "POST" ? Acknowledge(request) : MethodNotAllowed("POST");
  }
  if (request.path == "/v1/results") return MethodNotAllowed("GET");
  return Refusal(404, "there is nothing at " + request.path);
}

http::Response ApiHandler::RunByKey(const http::ServerRequest& request) {
  const std::optional<RunKey> key = KeyOfPath(request.path);
  if (!key) return Refusal(404, "a run is at /v1/runs/UID/ATTEMPT");
  if (request.method == "PUT") return Put(request, *key);
  if (request.method != "DELETE") return MethodNotAllowed("PUT, DELETE");
  if (!runs_.Cancel(*key)) {
    return Refusal(404, "there is no attempt " + std::to_string(key->attempt) + " of " + key->uid);
  }
  return JsonResponse(202, Json::object());
}

http::Response ApiHandler::Put(const http::ServerRequest& request, const RunKey& key) {
  Result<Json> body = ParseJson(request.body);
  if (!body.ok()) return Refusal(400, body.status().message());
  Result<api::RunRequest> run = api::RunRequestFromJson(*body);
  if (!run.ok()) return Refusal(400, run.status().message());
  if (run->uid != key.uid || run->attempt != key.attempt) {
    return Refusal(400, "the body is another run than the path: " + run->uid + " attempt " +
                            std::to_string(run->attempt));
  }
  run->trace_id = api::TraceIdFor(request.headers.Get(api::kTraceparentHeader), run->uid);
  *body = nullptr;  // half of a large request's memory, before it may have to wait
  const TakeAnswer answer = runs_.Take(*std::move(run));
  const int status = StatusOf(answer.outcome);
  if (status >= 300) return Refusal(status, answer.message);
  return JsonResponse(status, {{"message", answer.message}});
}

http::Response ApiHandler::List() const {
  Json runs = Json::array();
  for (const RunView& view : runs_.List()) {
    runs.push_back({{"uid", view.key.uid},
                    {"attempt", view.key.attempt},
                    {"state", view.done ? "Done" : "Running"},
                    {"stage", view.stage}});
  }
  return JsonResponse(200, {{"instance", log_.instance()}, {"runs", std::move(runs)}});
}

http::Response ApiHandler::Info() const {
  api::AgentInfo info = info_;
  const Runs::Load load = runs_.load();
  info.instance = log_.instance();
  info.slots = runs_.options().slots;
  info.memory_bytes = runs_.options().memory_bytes;
  info.busy_slots = load.busy_slots;
  info.draining = load.draining;
  return JsonResponse(200, api::AgentInfoToJson(info));
}

http::Response ApiHandler::PutEnvironments(const http::ServerRequest& request) {
  const Result<Json> body = ParseJson(request.body);
  if (!body.ok()) return Refusal(400, body.status().message());
  const Result<Json> answer = environments_.Put(*body);
  if (!answer.ok()) return Refusal(400, answer.status().message());
  return JsonResponse(200, *answer);
}

http::Response ApiHandler::Acknowledge(const http::ServerRequest& request) {
  const Result<Json> body = ParseJson(request.body);
  if (!body.ok()) return Refusal(400, body.status().message());
  const Json& list = At(*body, {"runs"});
  if (!list.is_array() || list.size() > kMaxAcknowledged) {
    return Refusal(
        400, "field \"runs\" must be an array of at most " + std::to_string(kMaxAcknowledged));
  }
  std::vector<RunKey> keys;
  for (const Json& entry : list) {
    RunKey key;
    Status read = ReadString(entry, "uid", &key.uid);
    if (read.ok()) read = ReadInt(entry, "attempt", &key.attempt);
    if (!read.ok()) return Refusal(400, read.message());
    keys.push_back(std::move(key));
  }
  runs_.Acknowledge(keys);
  return JsonResponse(200, Json::object());
}

void ApiHandler::Results(const http::ServerRequest& request,
                         const std::shared_ptr<http::ResponseWriter>& writer) {
  const auto after = ParseNumber(request.Query("after", "0"));
  const auto seconds = ParseNumber(request.Query("timeoutSeconds", "0"));
  const auto limit = ParseNumber(request.Query("limit", std::to_string(kDefaultResults)));
  if (!after || !seconds || !limit || *limit == 0) {
    return writer->Send(Refusal(400, "after, timeoutSeconds and limit must be whole numbers"));
  }
  const std::chrono::seconds timeout{std::min(*seconds, kMaxPollSeconds)};
  const uint64_t poll =
      log_.Poll(static_cast<uint64_t>(*after), static_cast<size_t>(std::min(*limit, kMaxResults)),
                timeout, [writer](std::string body) {
                  writer->Send({200, {{"Content-Type", "application/json"}}, std::move(body)});
                });
  if (poll != 0) writer->OnClose([this, poll] { log_.Abandon(poll); });
}

http::Handler ProbeHandler(std::function<std::string()> not_ready) {
  return [not_ready = std::move(not_ready)](const http::ServerRequest& request,
                                            const std::shared_ptr<http::ResponseWriter>& writer) {
    if (request.path == "/healthz") return writer->Send(Text(200, "ok"));
    if (request.path != "/readyz") return writer->Send(Text(404, "not found"));
    const std::string reason = not_ready();
    writer->Send(reason.empty() ? Text(200, "ok") : Text(503, reason));
  };
}

}  // namespace envicutor::agent

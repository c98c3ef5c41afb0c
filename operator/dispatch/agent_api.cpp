#include "operator/dispatch/agent_api.h"

#include "common/api/trace.h"
#include "common/http/client.h"

namespace envicutor::op {
namespace {

// A result page carries whole outputs; the agent is asked for few results at a time.
constexpr int kResultsPerPoll = 64;
constexpr size_t kMaxAnswerBytes = 256U << 20U;
Status ReadKey(const Json& entry, RunKey* key) {
  ENVICUTOR_RETURN_IF_ERROR(ReadString(entry, "uid", &key->uid));
  ENVICUTOR_RETURN_IF_ERROR(ReadInt(entry, "attempt", &key->attempt));
  if (key->uid.empty()) return InvalidArgument("a run without uid");
  return OkStatus();
}

class HttpAgentApi final : public AgentApi {
 public:
  HttpAgentApi(std::unique_ptr<http::Client> requests, std::unique_ptr<http::Client> polls)
      : requests_(std::move(requests)), polls_(std::move(polls)) {}

  Result<api::AgentInfo> Info() override {
    ENVICUTOR_ASSIGN(const Json body, Call("GET", "/v1/info", ""));
    return api::AgentInfoFromJson(body);
  }

  Result<HeldRuns> ListRuns() override {
    ENVICUTOR_ASSIGN(const Json body, Call("GET", "/v1/runs", ""));
    return HeldRunsFromJson(body);
  }

  Status PutRun(const api::RunRequest& request) override {
    return Send(*requests_, "PUT", RunTarget({request.uid, request.attempt}),
                DumpJson(api::RunRequestToJson(request)), {},
                api::Traceparent(api::TraceIdFor(request.trace_id, request.uid)))
        .status();
  }

  Status CancelRun(const RunKey& key) override {
    return Send(*requests_, "DELETE", RunTarget(key), "").status();
  }

  Result<ResultsPage> PollResults(int64_t after, std::chrono::seconds wait,
                                  std::stop_token stop) override {
    const std::string target = "/v1/results?after=" + std::to_string(after) +
                               "&timeoutSeconds=" + std::to_string(wait.count()) +
                               "&limit=" + std::to_string(kResultsPerPoll);
    ENVICUTOR_ASSIGN(const Json body, Call("GET", target, "", std::move(stop)));
    return ResultsPageFromJson(body);
  }

  Status Acknowledge(const std::vector<RunKey>& runs) override {
    Json list = Json::array();
    for (const RunKey& key : runs) list.push_back({{"uid", key.uid}, {"attempt", key.attempt}});
    return Send(*requests_, "POST", "/v1/results/ack", DumpJson(Json{{"runs", std::move(list)}}))
        .status();
  }

  Result<Json> PutEnvironments(const Json& body) override {
    return Call("PUT", "/v1/environments", DumpJson(body));
  }

 private:
  static std::string RunTarget(const RunKey& key) {
    return "/v1/runs/" + http::PercentEncode(key.uid) + "/" + std::to_string(key.attempt);
  }

  static Result<std::string> Send(http::Client& client, const std::string& method,
                                  const std::string& target, std::string body,
                                  std::stop_token stop = {}, const std::string& traceparent = "") {
    http::Request request;
    request.method = method;
    request.target = target;
    if (!traceparent.empty()) request.headers.Set(api::kTraceparentHeader, traceparent);
    if (!body.empty()) request.headers.Set("Content-Type", "application/json");
    request.body = std::move(body);
    ENVICUTOR_ASSIGN(http::Response response, client.Send(request, std::move(stop)));
    ENVICUTOR_RETURN_IF_ERROR(StatusOfAnswer(response.status, response.body));
    return std::move(response.body);
  }

  Result<Json> Call(const std::string& method, const std::string& target, std::string body,
                    std::stop_token stop = {}) {
    ENVICUTOR_ASSIGN(const std::string text,
                     Send(*polls_, method, target, std::move(body), std::move(stop)));
    return ParseJson(text);
  }

  std::unique_ptr<http::Client> requests_;  // those that the pool's threads wait for
  std::unique_ptr<http::Client> polls_;
};

}  // namespace

Status StatusOfAnswer(int http_status, const std::string& body) {
  if (http_status >= 200 && http_status < 300) return OkStatus();
  std::string message = "the agent answered " + std::to_string(http_status);
  const Result<Json> parsed = ParseJson(body);
  const std::string detail = parsed.ok()
                                 ? GetString(*parsed, "message", GetString(*parsed, "error"))
                                 : body.substr(0, 300);
  if (!detail.empty()) message += ": " + detail;
  switch (http_status) {
    case 400:
    case 413:
    case 422:
      return InvalidArgument(message);
    case 404:
      return NotFound(message);
    case 409:
      return {Code::kConflict, message};
    case 429:
      return ResourceExhausted(message);
    case 503:
      return FailedPrecondition(message);
    default:
      return Unavailable(message);
  }
}

Result<HeldRuns> HeldRunsFromJson(const Json& body) {
  HeldRuns held;
  ENVICUTOR_RETURN_IF_ERROR(ReadString(body, "instance", &held.instance));
  const Json& runs = At(body, {"runs"});
  if (!runs.is_array() && !runs.is_null()) return InvalidArgument("\"runs\" must be an array");
  for (const Json& entry : runs) {
    HeldRun run;
    ENVICUTOR_RETURN_IF_ERROR(ReadKey(entry, &run.key));
    ENVICUTOR_RETURN_IF_ERROR(ReadString(entry, "stage", &run.stage));
    run.done = GetString(entry, "state") == "Done";
    held.runs.push_back(std::move(run));
  }
  return held;
}

Result<ResultsPage> ResultsPageFromJson(const Json& body) {
  ResultsPage page;
  ENVICUTOR_RETURN_IF_ERROR(ReadString(body, "instance", &page.instance));
  ENVICUTOR_RETURN_IF_ERROR(ReadInt(body, "next", &page.next));
  const Json& results = At(body, {"results"});
  if (results.is_array()) {
    for (const Json& entry : results) {
      ENVICUTOR_ASSIGN(api::RunResult result, api::RunResultFromJson(entry));
      page.results.push_back(std::move(result));
    }
  }
  const Json& progress = At(body, {"progress"});
  if (progress.is_array()) {
    for (const Json& entry : progress) {
      RunProgress now;
      ENVICUTOR_RETURN_IF_ERROR(ReadKey(entry, &now.key));
      ENVICUTOR_RETURN_IF_ERROR(ReadString(entry, "stage", &now.stage));
      page.progress.push_back(std::move(now));
    }
  }
  return page;
}

Result<std::unique_ptr<AgentApi>> NewAgentApi(const AgentEndpoint& endpoint) {
  http::ClientOptions options;
  options.base_url = endpoint.base_url;
  options.tls = endpoint.tls;
  options.max_response_bytes = kMaxAnswerBytes;
  options.timeout = endpoint.request_timeout;
  ENVICUTOR_ASSIGN(std::unique_ptr<http::Client> requests, http::NewClient(options));
  options.timeout = endpoint.poll_timeout;
  ENVICUTOR_ASSIGN(std::unique_ptr<http::Client> polls, http::NewClient(options));
  return std::unique_ptr<AgentApi>(
      std::make_unique<HttpAgentApi>(std::move(requests), std::move(polls)));
}

}  // namespace envicutor::op

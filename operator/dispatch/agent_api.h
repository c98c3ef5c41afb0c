// The calls to one executor-agent (common/api/run.h has the protocol). The dispatcher knows agents
// only through this; tests and the simulation put faults behind it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "common/api/run.h"
#include "common/base/status.h"
#include "common/http/tls.h"

namespace envicutor::op {

struct RunKey {
  std::string uid;
  int64_t attempt = 1;
  bool operator==(const RunKey&) const = default;
};

struct HeldRun {
  RunKey key;
  bool done = false;
  std::string stage;
};

struct HeldRuns {
  std::string instance;
  std::vector<HeldRun> runs;
};

struct RunProgress {
  RunKey key;
  std::string stage;
};

struct ResultsPage {
  std::string instance;
  int64_t next = 0;
  std::vector<api::RunResult> results;
  std::vector<RunProgress> progress;
};

// Thread-safe; every call blocks at most for the client's timeout. Failures carry the codes of
// StatusOfAnswer below.
class AgentApi {
 public:
  virtual ~AgentApi() = default;
  [[nodiscard]] virtual Result<api::AgentInfo> Info() = 0;
  [[nodiscard]] virtual Result<HeldRuns> ListRuns() = 0;
  // OK: the agent has it. Conflict: a higher attempt is there. ResourceExhausted: no room now.
  // FailedPrecondition: draining. InvalidArgument: unreadable. Unavailable: it may or may not have
  // it.
  [[nodiscard]] virtual Status PutRun(const api::RunRequest& request) = 0;
  [[nodiscard]] virtual Status CancelRun(const RunKey& key) = 0;
  [[nodiscard]] virtual Result<ResultsPage> PollResults(int64_t after, std::chrono::seconds wait,
                                                        std::stop_token stop) = 0;
  [[nodiscard]] virtual Status Acknowledge(const std::vector<RunKey>& runs) = 0;
  // PUT /v1/environments: body and answer as common/api/run.h has them.
  [[nodiscard]] virtual Result<Json> PutEnvironments(const Json& body) {
    (void)body;
    return Status(Code::kUnimplemented, "this agent takes no list of environments");
  }
};

struct AgentEndpoint {
  std::string base_url;  // "https://10.0.0.7:8443"
  http::TlsClientOptions tls;
  // Without progress. Of PutRun, CancelRun and Acknowledge, which may all be repeated:
  std::chrono::milliseconds request_timeout{2'000};
  // Of the rest. Longer than the long poll, short enough to notice a stopped process.
  std::chrono::milliseconds poll_timeout{10'000};
};

[[nodiscard]] Result<std::unique_ptr<AgentApi>> NewAgentApi(const AgentEndpoint& endpoint);

// The meaning of an agent's HTTP status: 2xx OK; 400, 413 and 422 InvalidArgument; 404 NotFound;
// 409 Conflict; 429 ResourceExhausted; 503 FailedPrecondition; the rest Unavailable.
[[nodiscard]] Status StatusOfAnswer(int http_status, const std::string& body);
// The bodies of GET /v1/runs and GET /v1/results. InvalidArgument names what is wrong.
[[nodiscard]] Result<HeldRuns> HeldRunsFromJson(const Json& body);
[[nodiscard]] Result<ResultsPage> ResultsPageFromJson(const Json& body);

}  // namespace envicutor::op

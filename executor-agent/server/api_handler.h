// The HTTP face of an agent: common/api/run.h's protocol over Runs and ResultLog.
#pragma once

#include <functional>
#include <string>

#include "common/api/run.h"
#include "common/http/server.h"
#include "executor-agent/server/environments.h"
#include "executor-agent/server/result_log.h"
#include "executor-agent/server/runs.h"

namespace envicutor::agent {

inline constexpr std::string_view kOperatorName = "envicutor-operator";
inline constexpr std::string_view kEnvironmentsPath = "/v1/environments";

// Thread-safe: a handler for http::StartServer. Only a peer whose certificate has the common name
// envicutor-operator is served anything but /healthz and /readyz.
class ApiHandler {
 public:
  // `info`: what does not change (the rest is filled in). All must outlive the handler.
  ApiHandler(api::AgentInfo info, Runs& runs, ResultLog& log, Environments& environments)
      : info_(std::move(info)), runs_(runs), log_(log), environments_(environments) {}

  void operator()(const http::ServerRequest& request,
                  const std::shared_ptr<http::ResponseWriter>& writer);

 private:
  http::Response Answer(const http::ServerRequest& request);
  http::Response RunByKey(const http::ServerRequest& request);
  http::Response Put(const http::ServerRequest& request, const RunKey& key);
  http::Response List() const;
  http::Response Acknowledge(const http::ServerRequest& request);
  http::Response Info() const;
  http::Response PutEnvironments(const http::ServerRequest& request);
  void Results(const http::ServerRequest& request,
               const std::shared_ptr<http::ResponseWriter>& writer);

  const api::AgentInfo info_;
  Runs& runs_;
  ResultLog& log_;
  Environments& environments_;
};

// /healthz: 200 "ok". /readyz: 200 when `not_ready` gives "", else 503 with what it gives.
[[nodiscard]] http::Handler ProbeHandler(std::function<std::string()> not_ready);

}  // namespace envicutor::agent

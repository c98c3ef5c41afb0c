// The API server's HTTP surface: authentication, routes, and the passage from HTTP to the core and
// back. Thread-safe; called on the server's handler threads, where reads may be long and some
// writes wait for the disk, and on its I/O thread for what IsShort.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "common/http/server.h"
#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/http/auth.h"
#include "standalone/apiserver/http/log_proxy.h"
#include "standalone/apiserver/http/openapi_cache.h"
#include "standalone/apiserver/http/output.h"
#include "standalone/apiserver/http/request_info.h"
#include "standalone/apiserver/http/watch_hub.h"

namespace envicutor::standalone {

class ApiHandler {
 public:
  using Writer = std::shared_ptr<http::ResponseWriter>;

  // All outlive the handler.
  ApiHandler(Api* api, WatchHub* hub, LogProxy* logs, Authenticator authenticator);

  void Handle(const http::ServerRequest& request, const Writer& writer);
  // Whether it is a write of one small object in a namespace of a group's (Submissions, Leases), in
  // a form that says no more than it is long: it does not take long, and never waits for the disk:
  // who makes it durable sends its answer (Store::Then). Not what may write more than once:
  // collections, pods, definitions.
  [[nodiscard]] bool IsShort(const http::ServerRequest& request) const;
  // Requests answered, by "VERB RESOURCE CODE", in Prometheus' text format.
  [[nodiscard]] std::string Metrics() const;

 private:
  struct Call;  // one request to a resource (resource_handler.cpp)

  [[nodiscard]] std::optional<ApiError> Route(const http::ServerRequest& request, const User& user,
                                              const Writer& writer);
  // Paths that are no resources. False: none of them.
  [[nodiscard]] bool ServeDocument(const http::ServerRequest& request, const Writer& writer,
                                   std::optional<ApiError>* error);
  [[nodiscard]] bool ServeOpenApi(const http::ServerRequest& request, const Writer& writer);
  [[nodiscard]] std::optional<ApiError> ServeResource(const http::ServerRequest& request,
                                                      const User& user, const Writer& writer);
  [[nodiscard]] std::optional<ApiError> ServeRead(const Call& call);
  [[nodiscard]] std::optional<ApiError> ServeWatch(const Call& call);
  [[nodiscard]] ApiResult<Answer> ServeWrite(const Call& call);
  void Count(const std::string& verb, const std::string& resource, int code);

  Api* api_;
  WatchHub* hub_;
  LogProxy* logs_;
  Authenticator authenticator_;
  OpenApiCache openapi_;
  mutable std::mutex counts_mutex_;
  std::map<std::tuple<std::string, std::string, int>, uint64_t> counts_;
};

void SendJson(const ApiHandler::Writer& writer, int code, std::string body);
void SendError(const ApiHandler::Writer& writer, const ApiError& error);

}  // namespace envicutor::standalone

// GET pods/NAME/log: asks the pod's node (its kubelet endpoint) and passes the answer on.
//
// A followed log occupies the calling thread until it ends; at most kMaxLogStreams at a time.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/http/client.h"
#include "common/http/server.h"
#include "standalone/apiserver/core/api.h"

namespace envicutor::standalone {

inline constexpr int kMaxLogStreams = 8;

// Thread-safe.
class LogProxy {
 public:
  using ClientFactory =
      std::function<Result<std::unique_ptr<http::Client>>(const http::ClientOptions&)>;
  explicit LogProxy(Api* api, ClientFactory new_client = http::NewClient)
      : api_(api), new_client_(std::move(new_client)) {}

  // Answers through `writer`, or returns why it did not.
  [[nodiscard]] std::optional<ApiError> Serve(const std::string& ns, const std::string& name,
                                              const http::ServerRequest& request,
                                              const std::shared_ptr<http::ResponseWriter>& writer);
  // Ends running streams.
  void Stop() { stop_.request_stop(); }

 private:
  [[nodiscard]] ApiResult<std::string> NodeUrl(const Json& pod) const;

  Api* api_;
  ClientFactory new_client_;
  std::atomic<int> streams_{0};
  std::stop_source stop_;
};

}  // namespace envicutor::standalone

// What an API server counted itself: apiserver_request_total of its /metrics.
#pragma once

#include <map>
#include <string>

#include "common/base/json.h"
#include "common/kube/client.h"

namespace envicutor::load {

// "PATCH submissions/status" -> number of requests, of the project's kinds only.
using ApiRequests = std::map<std::string, double>;

[[nodiscard]] ApiRequests ParseApiRequests(const std::string& metrics_text);
[[nodiscard]] Result<ApiRequests> ReadApiRequests(kube::Client& client);
// What came between two readings, each divided by `submissions`; what did not change is left out.
[[nodiscard]] Json RequestsEach(const ApiRequests& before, const ApiRequests& after,
                                int64_t submissions);

}  // namespace envicutor::load

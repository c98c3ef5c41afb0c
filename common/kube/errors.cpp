#include "common/kube/errors.h"

#include "common/base/encoding.h"

namespace envicutor::kube {
namespace {

constexpr size_t kMaxMessageBytes = 2048;

Code CodeOf(int64_t http_status, std::string_view reason) {
  switch (http_status) {
    case 400:
    case 415:
    case 422:
      return Code::kInvalidArgument;
    case 401:
      return Code::kUnauthenticated;
    case 403:
      return Code::kPermissionDenied;
    case 404:
      return Code::kNotFound;
    case 405:
    case 406:
      return Code::kUnimplemented;
    case 409:
      return reason == "AlreadyExists" ? Code::kAlreadyExists : Code::kConflict;
    case 410:
      return Code::kExpired;
    case 412:
      return Code::kFailedPrecondition;
    case 413:
    case 429:
      return Code::kResourceExhausted;
    default:
      return http_status >= 500 ? Code::kUnavailable : Code::kInternal;
  }
}

}  // namespace

Status FromStatusObject(const Json& object) {
  const std::string reason = GetString(object, "reason");
  std::string message = GetString(object, "message");
  if (message.empty()) message = reason.empty() ? "the API server gave no reason" : reason;
  return {CodeOf(GetInt(object, "code", 500), reason),
          std::string(Utf8Prefix(message, kMaxMessageBytes))};
}

Status FromResponse(const http::Response& response) {
  const Result<Json> body = ParseJson(response.body);
  if (body.ok() && GetString(*body, "kind") == "Status") {
    Json status = *body;
    status["code"] = response.status;  // the line is what counts
    return FromStatusObject(status);
  }
  std::string message = "HTTP status " + std::to_string(response.status);
  if (!response.body.empty()) {
    message += ": " + ToUtf8Lossy(Utf8Prefix(response.body, kMaxMessageBytes));
  }
  return {CodeOf(response.status, ""), std::move(message)};
}

}  // namespace envicutor::kube

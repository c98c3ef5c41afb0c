// Errors in Kubernetes' own words: what becomes a metav1.Status with an HTTP code, and
// ApiResult<T>. The wordings are those of k8s.io/apimachinery/pkg/api/errors, because clients (and
// people) match them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/json.h"
#include "standalone/apiserver/schema/errors.h"

namespace envicutor::standalone {

using Causes = std::vector<schema::FieldError>;

// A value as errors show it: JSON, cut at 1 KiB.
[[nodiscard]] std::string ShowValue(const Json& value);

// What an error is about: details.name, .group and .kind (a resource's plural, or a kind for
// Invalid).
struct ErrorTarget {
  std::string group;
  std::string resource;
  std::string name;
};

class WriteTicket;

struct [[nodiscard]] ApiError {
  int code = 500;
  std::string reason;
  std::string message;
  Json details;  // object or null
  int retry_after_seconds = 0;
  // Of the write that the error is about ("already exists") while that is not durable: the error
  // may be told when it is (Store::Then) and is none when it fails. Null: it may be told at once.
  std::shared_ptr<WriteTicket> ticket = nullptr;

  // The metav1.Status that is sent.
  [[nodiscard]] Json ToStatus() const;
};

ApiError NotFoundError(const ErrorTarget& target);
ApiError PathNotFoundError();  // no such resource or path
ApiError AlreadyExistsError(const ErrorTarget& target);
ApiError ConflictError(const ErrorTarget& target, std::string_view why);
// The conflict that a stale resourceVersion gets.
ApiError ModifiedError(const ErrorTarget& target);
// `target.resource` is the kind here. Causes are sorted as given.
ApiError InvalidError(const ErrorTarget& target, const Causes& causes);
ApiError BadRequestError(std::string message);
ApiError ForbiddenError(const ErrorTarget& target, std::string_view why);
ApiError MethodNotAllowedError();
ApiError MethodNotSupportedError(const ErrorTarget& target, std::string_view action);
ApiError NotAcceptableError(std::string_view accepted);
ApiError UnsupportedMediaTypeError(std::string message);
ApiError ExpiredError(std::string message);
ApiError TooLargeError(std::string message);
ApiError UnauthorizedError();
ApiError InternalError(std::string message);
ApiError ServiceUnavailableError(std::string message);
ApiError TooLargeResourceVersionError(uint64_t wanted, uint64_t current);

// A T or an ApiError.
template <typename T>
class [[nodiscard]] ApiResult {
 public:
  ApiResult(T value) : value_(std::move(value)) {}         // implicit by design
  ApiResult(ApiError error) : error_(std::move(error)) {}  // implicit by design

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  [[nodiscard]] const ApiError& error() const { return error_; }
  T& operator*() {
    CHECK(ok(), error_.message);
    return *value_;
  }
  const T& operator*() const {
    CHECK(ok(), error_.message);
    return *value_;
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }

 private:
  std::optional<T> value_;
  ApiError error_;
};

}  // namespace envicutor::standalone

#define API_ASSIGN_CONCAT_(a, b) a##b
#define API_ASSIGN_CONCAT(a, b) API_ASSIGN_CONCAT_(a, b)
#define API_ASSIGN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                     \
  if (!tmp.ok()) return tmp.error();     \
  lhs = std::move(*tmp)
// Evaluates `expr` (an ApiResult); on failure returns its error, else assigns the value to `lhs`.
#define API_ASSIGN(lhs, expr) API_ASSIGN_IMPL_(API_ASSIGN_CONCAT(api_result_, __LINE__), lhs, expr)

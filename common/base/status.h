// Status and Result<T>: how a function that can fail at run time says so.
//
//   Result<Config> ReadConfig(const std::string& path);
//   ENVICUTOR_ASSIGN(Config config, ReadConfig(path));   // returns the Status on failure
//
// Codes are the canonical ones of gRPC/abseil. A message is one sentence for a person: it names the
// field, the value and the bound. Both types are values, safe to use from any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/check.h"

namespace envicutor {

enum class Code {
  kOk,
  kInvalidArgument,  // the caller's or the user's mistake; trying again will not help
  kNotFound,
  kAlreadyExists,
  kConflict,  // lost a race (HTTP 409, a stale resourceVersion): read again, then retry
  kExpired,   // too old to continue from (HTTP 410): list again
  kPermissionDenied,
  kUnauthenticated,
  kResourceExhausted,   // a bound was reached (HTTP 413, 429)
  kFailedPrecondition,  // the system is not in a state for it (a controller missing, no cgroup v2)
  kDeadlineExceeded,
  kCancelled,
  kUnavailable,  // not reachable now: retry with backoff
  kUnimplemented,
  kInternal,  // a broken invariant or a system call that cannot fail did
};

[[nodiscard]] std::string_view CodeName(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // OK
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  [[nodiscard]] bool ok() const { return code_ == Code::kOk; }
  [[nodiscard]] Code code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }
  // "NotFound: runtimes \"x\" not found"; "OK".
  [[nodiscard]] std::string ToString() const;
  // The same code, the message prefixed with "context: ".
  [[nodiscard]] Status WithContext(std::string_view context) const;

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

[[nodiscard]] inline Status OkStatus() { return {}; }
[[nodiscard]] inline Status InvalidArgument(std::string m) {
  return {Code::kInvalidArgument, std::move(m)};
}
[[nodiscard]] inline Status NotFound(std::string m) { return {Code::kNotFound, std::move(m)}; }
[[nodiscard]] inline Status FailedPrecondition(std::string m) {
  return {Code::kFailedPrecondition, std::move(m)};
}
[[nodiscard]] inline Status Unavailable(std::string m) {
  return {Code::kUnavailable, std::move(m)};
}
[[nodiscard]] inline Status ResourceExhausted(std::string m) {
  return {Code::kResourceExhausted, std::move(m)};
}
[[nodiscard]] inline Status Internal(std::string m) { return {Code::kInternal, std::move(m)}; }
// "what: strerror(error_number)", with the code that the errno maps to (ENOENT NotFound, EEXIST
// AlreadyExists, EACCES/EPERM PermissionDenied, ENOSPC/EMFILE/ENOMEM ResourceExhausted, else
// Internal).
[[nodiscard]] Status ErrnoStatus(int error_number, std::string_view what);

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // implicit by design
  Result(Status status) : status_(std::move(status)) {  // implicit by design
    CHECK(!status_.ok(), "a Result made from an OK status has no value");
  }

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  [[nodiscard]] const Status& status() const { return status_; }
  [[nodiscard]] T& value() & {
    CHECK(ok(), status_.ToString());
    return *value_;
  }
  [[nodiscard]] const T& value() const& {
    CHECK(ok(), status_.ToString());
    return *value_;
  }
  [[nodiscard]] T&& value() && {
    CHECK(ok(), status_.ToString());
    return std::move(*value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace envicutor

#define ENVICUTOR_CONCAT_(a, b) a##b
#define ENVICUTOR_CONCAT(a, b) ENVICUTOR_CONCAT_(a, b)
// Returns the status of `expr` (a Status) from the calling function when it is not OK.
#define ENVICUTOR_RETURN_IF_ERROR(expr)                    \
  do {                                                     \
    ::envicutor::Status envicutor_status_ = (expr);        \
    if (!envicutor_status_.ok()) return envicutor_status_; \
  } while (false)
#define ENVICUTOR_ASSIGN_IMPL_(tmp, lhs, expr) \
  auto tmp = (expr);                           \
  if (!tmp.ok()) return tmp.status();          \
  lhs = std::move(tmp).value()
// Evaluates `expr` (a Result); on failure returns its status, else assigns the value to `lhs`.
#define ENVICUTOR_ASSIGN(lhs, expr) \
  ENVICUTOR_ASSIGN_IMPL_(ENVICUTOR_CONCAT(envicutor_result_, __LINE__), lhs, expr)

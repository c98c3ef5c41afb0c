#include "standalone/apiserver/core/api_error.h"

namespace envicutor::standalone {

std::string ShowValue(const Json& value) {
  if (value.is_null()) return "null";
  std::string text = DumpJson(value);
  constexpr size_t kMaxShown = 1024;
  if (text.size() > kMaxShown) text = text.substr(0, kMaxShown) + "...";
  return text;
}

namespace {

std::string Qualified(const ErrorTarget& target) {
  return target.group.empty() ? target.resource : target.resource + "." + target.group;
}

Json Details(const ErrorTarget& target) {
  Json details = Json::object();
  if (!target.name.empty()) details["name"] = target.name;
  if (!target.group.empty()) details["group"] = target.group;
  if (!target.resource.empty()) details["kind"] = target.resource;
  return details;
}

ApiError Make(int code, std::string reason, std::string message, Json details = nullptr) {
  return {code, std::move(reason), std::move(message), std::move(details), 0};
}

}  // namespace

Json ApiError::ToStatus() const {
  Json status = {{"kind", "Status"},    {"apiVersion", "v1"}, {"metadata", Json::object()},
                 {"status", "Failure"}, {"message", message}, {"code", code}};
  if (!reason.empty()) status["reason"] = reason;
  if (details.is_object()) status["details"] = details;
  if (retry_after_seconds > 0) status["details"]["retryAfterSeconds"] = retry_after_seconds;
  return status;
}

ApiError NotFoundError(const ErrorTarget& target) {
  return Make(404, "NotFound", Qualified(target) + " \"" + target.name + "\" not found",
              Details(target));
}

ApiError PathNotFoundError() {
  return Make(404, "NotFound", "the server could not find the requested resource", Json::object());
}

ApiError AlreadyExistsError(const ErrorTarget& target) {
  return Make(409, "AlreadyExists", Qualified(target) + " \"" + target.name + "\" already exists",
              Details(target));
}

ApiError ConflictError(const ErrorTarget& target, std::string_view why) {
  return Make(409, "Conflict",
              "Operation cannot be fulfilled on " + Qualified(target) + " \"" + target.name +
                  "\": " + std::string(why),
              Details(target));
}

ApiError ModifiedError(const ErrorTarget& target) {
  return ConflictError(target,
                       "the object has been modified; please apply your changes to the latest "
                       "version and try again");
}

ApiError InvalidError(const ErrorTarget& target, const Causes& causes) {
  Json details = Details(target);
  for (const schema::FieldError& cause : causes) {
    details["causes"].push_back(
        {{"reason", cause.reason}, {"message", cause.detail}, {"field", cause.field}});
  }
  return Make(422, "Invalid", schema::InvalidMessage(Qualified(target), target.name, causes),
              std::move(details));
}

ApiError BadRequestError(std::string message) {
  return Make(400, "BadRequest", std::move(message));
}

ApiError ForbiddenError(const ErrorTarget& target, std::string_view why) {
  return Make(403, "Forbidden",
              Qualified(target) + " \"" + target.name + "\" is forbidden: " + std::string(why),
              Details(target));
}

ApiError MethodNotAllowedError() {
  return Make(405, "MethodNotAllowed",
              "the server does not allow this method on the requested resource", Json::object());
}

ApiError MethodNotSupportedError(const ErrorTarget& target, std::string_view action) {
  return Make(
      405, "MethodNotAllowed",
      std::string(action) + " is not supported on resources of kind \"" + Qualified(target) + "\"",
      Details(target));
}

ApiError NotAcceptableError(std::string_view accepted) {
  return Make(406, "NotAcceptable",
              "only the following media types are accepted: " + std::string(accepted));
}

ApiError UnsupportedMediaTypeError(std::string message) {
  return Make(415, "UnsupportedMediaType", std::move(message));
}

ApiError ExpiredError(std::string message) { return Make(410, "Expired", std::move(message)); }

ApiError TooLargeError(std::string message) {
  return Make(413, "RequestEntityTooLarge", "Request entity too large: " + std::move(message));
}

ApiError UnauthorizedError() { return Make(401, "Unauthorized", "Unauthorized"); }

ApiError InternalError(std::string message) {
  Json details = {{"causes", Json::array({Json{{"message", message}}})}};
  return Make(500, "InternalError", "Internal error occurred: " + message, std::move(details));
}

ApiError ServiceUnavailableError(std::string message) {
  ApiError error = Make(503, "ServiceUnavailable", std::move(message));
  error.retry_after_seconds = 1;
  return error;
}

ApiError TooLargeResourceVersionError(uint64_t wanted, uint64_t current) {
  ApiError error =
      Make(504, "Timeout",
           "Timeout: Too large resource version: " + std::to_string(wanted) +
               ", current: " + std::to_string(current),
           Json{{"causes", Json::array({Json{{"reason", "ResourceVersionTooLarge"},
                                             {"message", "Too large resource version"}}})}});
  error.retry_after_seconds = 1;
  return error;
}

}  // namespace envicutor::standalone

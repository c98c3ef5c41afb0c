// Validation errors as Kubernetes reports them: one cause each, joined into one sentence.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace envicutor::standalone::schema {

// One metav1.StatusCause of a Status with reason Invalid.
struct FieldError {
  std::string field;   // "spec.run.args[0]"; "<nil>" for the object itself
  std::string reason;  // cause reason: "FieldValueInvalid", "FieldValueRequired", ...
  std::string detail;  // cause message: `Invalid value: "x": must be ...`
  bool operator==(const FieldError&) const = default;
};

// Kubernetes' error kinds (field.ErrorType) with the cause reason of each.
[[nodiscard]] FieldError InvalidError(std::string field, std::string_view shown_value,
                                      std::string_view message);
[[nodiscard]] FieldError RequiredError(std::string field, std::string_view message);
[[nodiscard]] FieldError ForbiddenError(std::string field, std::string_view message);
[[nodiscard]] FieldError DuplicateError(std::string field, std::string_view shown_value);
[[nodiscard]] FieldError TypeError(std::string field, std::string_view shown_value,
                                   std::string_view message);
[[nodiscard]] FieldError NotSupportedError(std::string field, std::string_view shown_value,
                                           const std::vector<std::string>& supported);
[[nodiscard]] FieldError TooLongError(std::string field, std::string_view message);
[[nodiscard]] FieldError TooManyError(std::string field, std::string_view message);

// "spec.run.args: Too many: 300: must have at most 256 items".
[[nodiscard]] std::string FormatFieldError(const FieldError& error);
// `Submission.envicutor.io "x" is invalid: spec.a: Required value`; several in [brackets,
// comma-joined]. `kind_and_group` is "Submission.envicutor.io" (just "Pod" for the core group). At
// most 8 KiB.
[[nodiscard]] std::string InvalidMessage(std::string_view kind_and_group, std::string_view name,
                                         const std::vector<FieldError>& errors);

}  // namespace envicutor::standalone::schema

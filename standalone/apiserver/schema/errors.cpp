#include "standalone/apiserver/schema/errors.h"

#include <utility>

#include "common/base/encoding.h"

namespace envicutor::standalone::schema {
namespace {

constexpr size_t kMaxShownValue = 256;
constexpr size_t kMaxMessage = 8192;

// A value can be a whole program: a message shows its beginning.
std::string Shorten(std::string_view value) {
  if (value.size() <= kMaxShownValue) return std::string(value);
  const bool quoted = value.front() == '"';
  return std::string(Utf8Prefix(value, kMaxShownValue)) + (quoted ? "...\"" : "...");
}

std::string Describe(std::string_view kind, std::string_view value, std::string_view message) {
  std::string out(kind);
  if (!value.empty()) out += ": " + Shorten(value);
  if (!message.empty()) out += ": " + std::string(message);
  return out;
}

}  // namespace

FieldError InvalidError(std::string field, std::string_view shown_value, std::string_view message) {
  return {std::move(field), "FieldValueInvalid", Describe("Invalid value", shown_value, message)};
}
FieldError RequiredError(std::string field, std::string_view message) {
  return {std::move(field), "FieldValueRequired", Describe("Required value", "", message)};
}
FieldError ForbiddenError(std::string field, std::string_view message) {
  return {std::move(field), "FieldValueForbidden", Describe("Forbidden", "", message)};
}
FieldError DuplicateError(std::string field, std::string_view shown_value) {
  return {std::move(field), "FieldValueDuplicate", Describe("Duplicate value", shown_value, "")};
}
FieldError TypeError(std::string field, std::string_view shown_value, std::string_view message) {
  return {std::move(field), "FieldValueTypeInvalid",
          Describe("Invalid value", shown_value, message)};
}
FieldError NotSupportedError(std::string field, std::string_view shown_value,
                             const std::vector<std::string>& supported) {
  std::string list = "supported values: ";
  for (size_t i = 0; i < supported.size(); ++i) {
    if (i > 0) list += ", ";
    list += '"' + supported[i] + '"';
  }
  return {std::move(field), "FieldValueNotSupported",
          Describe("Unsupported value", shown_value, supported.empty() ? "" : list)};
}
FieldError TooLongError(std::string field, std::string_view message) {
  return {std::move(field), "FieldValueTooLong", Describe("Too long", "", message)};
}
FieldError TooManyError(std::string field, std::string_view message) {
  return {std::move(field), "FieldValueTooMany", Describe("Too many", "", message)};
}

std::string FormatFieldError(const FieldError& error) { return error.field + ": " + error.detail; }

std::string InvalidMessage(std::string_view kind_and_group, std::string_view name,
                           const std::vector<FieldError>& errors) {
  std::string out = std::string(kind_and_group) + " \"" + std::string(name) + "\" is invalid";
  if (errors.empty()) return out;
  out += ": ";
  if (errors.size() > 1) out += "[";
  for (size_t i = 0; i < errors.size(); ++i) {
    if (i > 0) out += ", ";
    out += FormatFieldError(errors[i]);
    if (out.size() > kMaxMessage) {
      out = std::string(Utf8Prefix(out, kMaxMessage)) + "...";
      break;
    }
  }
  if (errors.size() > 1) out += "]";
  return out;
}

}  // namespace envicutor::standalone::schema

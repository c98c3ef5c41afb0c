#include "common/api/wire.h"

#include "common/base/encoding.h"

namespace envicutor::api::wire {
namespace {

std::string Field(std::string_view key) { return "field \"" + std::string(key) + "\""; }

}  // namespace

Status ReadBoundedInt(const Json& object, std::string_view key, int64_t min, int64_t max,
                      int64_t* out) {
  int64_t value = *out;
  ENVICUTOR_RETURN_IF_ERROR(ReadInt(object, key, &value));
  if (At(object, {key}).is_null()) return OkStatus();
  if (value < min || value > max) {
    return InvalidArgument(Field(key) + " must be from " + std::to_string(min) + " to " +
                           std::to_string(max));
  }
  *out = value;
  return OkStatus();
}

Status ReadBoundedString(const Json& object, std::string_view key, size_t max_bytes,
                         std::string* out) {
  std::string value = *out;
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, key, &value));
  if (value.size() > max_bytes) {
    return InvalidArgument(Field(key) + " has " + std::to_string(value.size()) +
                           " bytes, the most is " + std::to_string(max_bytes));
  }
  *out = std::move(value);
  return OkStatus();
}

void PutBytes(Json& object, std::string_view key, std::string_view encoding_key,
              std::string_view bytes) {
  if (IsUtf8(bytes)) {
    object[std::string(key)] = bytes;
  } else {
    object[std::string(key)] = Base64Encode(bytes);
    object[std::string(encoding_key)] = "base64";
  }
}

Status ReadBytes(const Json& object, std::string_view key, std::string_view encoding_key,
                 std::string* out) {
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, key, out));
  std::string encoding = "text";
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, encoding_key, &encoding));
  if (encoding == "text") return OkStatus();
  if (encoding != "base64") return InvalidArgument(Field(encoding_key) + " must be text or base64");
  Result<std::string> bytes = Base64Decode(*out);
  if (!bytes.ok()) return bytes.status().WithContext(Field(key));
  *out = *std::move(bytes);
  return OkStatus();
}

Status ReadArray(const Json& object, std::string_view key, size_t max_items,
                 const std::function<Status(const Json&)>& read) {
  const Json& array = At(object, {key});
  if (array.is_null()) return OkStatus();
  if (!array.is_array()) return InvalidArgument(Field(key) + " must be an array");
  if (array.size() > max_items) {
    return InvalidArgument(Field(key) + " has " + std::to_string(array.size()) +
                           " items, the most is " + std::to_string(max_items));
  }
  for (size_t i = 0; i < array.size(); ++i) {
    const Status status = read(array[i]);
    if (!status.ok()) return status.WithContext(std::string(key) + '[' + std::to_string(i) + ']');
  }
  return OkStatus();
}

Status ReadObject(const Json& object, std::string_view key,
                  const std::function<Status(const Json&)>& read) {
  const Json& member = At(object, {key});
  if (member.is_null()) return OkStatus();
  if (!member.is_object()) return InvalidArgument(Field(key) + " must be an object");
  const Status status = read(member);
  return status.ok() ? status : status.WithContext(key);
}

}  // namespace envicutor::api::wire

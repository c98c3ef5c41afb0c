#include "common/base/json.h"

#include "common/base/json_parse.h"

namespace envicutor {
namespace {

const Json& Null() {
  static const Json null;
  return null;
}

bool IsDeeperThan(std::string_view text, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > max_depth) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

Status WrongType(std::string_view key, std::string_view wanted) {
  return InvalidArgument("field \"" + std::string(key) + "\" must be " + std::string(wanted));
}

}  // namespace

Result<Json> ParseJson(std::string_view text, int max_depth) {
  bool duplicates = false;
  if (std::optional<Json> value = TryParseJson(text, max_depth, &duplicates)) {
    return *std::move(value);
  }
  // Looked at before parsing: nlohmann's parser is iterative, but its values
  // are destroyed recursively, and its callback that could count costs more
  // than this.
  if (IsDeeperThan(text, max_depth)) {
    return InvalidArgument("JSON is nested deeper than " + std::to_string(max_depth));
  }
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::exception& error) {
    return InvalidArgument(std::string("invalid JSON: ") + error.what());
  }
}

const Json& Member(const Json& object, std::string_view key) {
  if (!object.is_object()) return Null();
  const auto it = object.find(key);
  return it == object.end() ? Null() : *it;
}

std::string GetString(const Json& object, std::string_view key, std::string fallback) {
  const Json& member = Member(object, key);
  return member.is_string() ? member.get<std::string>() : std::move(fallback);
}

std::string_view GetView(const Json& object, std::string_view key, std::string_view fallback) {
  const Json& member = Member(object, key);
  return member.is_string() ? std::string_view(member.get_ref<const std::string&>()) : fallback;
}

int64_t GetInt(const Json& object, std::string_view key, int64_t fallback) {
  const Json& member = Member(object, key);
  if (!member.is_number_integer()) return fallback;
  if (member.is_number_unsigned() && member.get<uint64_t>() > uint64_t{INT64_MAX}) return fallback;
  return member.get<int64_t>();
}

bool GetBool(const Json& object, std::string_view key, bool fallback) {
  const Json& member = Member(object, key);
  return member.is_boolean() ? member.get<bool>() : fallback;
}

const Json& At(const Json& object, std::initializer_list<std::string_view> path) {
  const Json* at = &object;
  for (const std::string_view key : path) at = &Member(*at, key);
  return *at;
}

Status ReadString(const Json& object, std::string_view key, std::string* out) {
  const Json& member = Member(object, key);
  if (member.is_null()) return OkStatus();
  if (!member.is_string()) return WrongType(key, "a string");
  *out = member.get<std::string>();
  return OkStatus();
}

Status ReadInt(const Json& object, std::string_view key, int64_t* out) {
  const Json& member = Member(object, key);
  if (member.is_null()) return OkStatus();
  if (!member.is_number_integer()) return WrongType(key, "an integer");
  if (member.is_number_unsigned() && member.get<uint64_t>() > uint64_t{INT64_MAX}) {
    return WrongType(key, "an integer of at most 9223372036854775807");
  }
  *out = member.get<int64_t>();
  return OkStatus();
}

Status ReadBool(const Json& object, std::string_view key, bool* out) {
  const Json& member = Member(object, key);
  if (member.is_null()) return OkStatus();
  if (!member.is_boolean()) return WrongType(key, "true or false");
  *out = member.get<bool>();
  return OkStatus();
}

}  // namespace envicutor

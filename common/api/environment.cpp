#include "common/api/environment.h"

#include <utility>

#include "common/api/limits.h"
#include "common/base/encoding.h"

namespace envicutor::api {
namespace {

// The bounds of the CRD's schema, held here too: an inline environment reaches the builder from
// here.
constexpr size_t kMaxShellBytes = 256U << 10U;
constexpr size_t kMaxPackages = 256;
constexpr size_t kMaxPackageBytes = 256;
constexpr size_t kMaxUrlBytes = 2048;
constexpr size_t kMaxSha256Bytes = 128;
constexpr size_t kMaxClosurePaths = 100'000;

// Changes when what the builder captures changes, so that old captures are not taken for new ones.
constexpr std::string_view kCaptureVersion = "capture-1";

// An attribute path of nixpkgs: identifiers (letters, digits, _, -, ', +) joined by dots. Nothing
// else, as it is looked up by splitting at the dots.
bool IsAttributePath(std::string_view text) {
  if (text.empty() || text.size() > kMaxPackageBytes) return false;
  bool at_start = true;
  for (const char c : text) {
    if (c == '.') {
      if (at_start) return false;
      at_start = true;
      continue;
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    const bool other = (c >= '0' && c <= '9') || c == '-' || c == '\'' || c == '+';
    if (!letter && !other) return false;
    at_start = false;
  }
  return !at_start;
}

Status ReadPackages(const Json& object, std::string_view key, const std::string& path,
                    std::vector<std::string>* out) {
  const Json& list = At(object, {key});
  if (list.is_null()) return OkStatus();
  const std::string where = path + "." + std::string(key);
  if (!list.is_array()) return InvalidArgument(where + " must be a list of attribute paths");
  if (list.size() > kMaxPackages) {
    return InvalidArgument(where + " has " + std::to_string(list.size()) +
                           " items, more than the maximum " + std::to_string(kMaxPackages));
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string name = list[i].is_string() ? list[i].get<std::string>() : "";
    if (!IsAttributePath(name)) {
      return InvalidArgument(
          where + "[" + std::to_string(i) +
          "] is not an attribute path of nixpkgs, such as python3Packages.numpy");
    }
    out->push_back(name);
  }
  return OkStatus();
}

Status CheckText(const std::string& text, size_t max_bytes, const std::string& where) {
  if (text.size() > max_bytes) {
    return InvalidArgument(where + " has " + std::to_string(text.size()) +
                           " bytes, more than the maximum " + std::to_string(max_bytes));
  }
  if (text.find('\0') != std::string::npos) return InvalidArgument(where + " has a NUL byte");
  return OkStatus();
}

Status ReadPin(const Json& object, const std::string& path, EnvironmentSpec* spec) {
  const Json& pin = At(object, {"nixpkgs"});
  if (pin.is_null()) return OkStatus();
  if (!pin.is_object()) return InvalidArgument(path + ".nixpkgs must be {url, sha256}");
  ENVICUTOR_RETURN_IF_ERROR(ReadString(pin, "url", &spec->nixpkgs_url));
  ENVICUTOR_RETURN_IF_ERROR(ReadString(pin, "sha256", &spec->nixpkgs_sha256));
  ENVICUTOR_RETURN_IF_ERROR(CheckText(spec->nixpkgs_url, kMaxUrlBytes, path + ".nixpkgs.url"));
  ENVICUTOR_RETURN_IF_ERROR(
      CheckText(spec->nixpkgs_sha256, kMaxSha256Bytes, path + ".nixpkgs.sha256"));
  if (spec->nixpkgs_url.rfind("https://", 0) != 0) {
    return InvalidArgument(path + ".nixpkgs.url must begin with https://");
  }
  if (spec->nixpkgs_sha256.empty()) {
    return InvalidArgument(path + ".nixpkgs.sha256 is required: without it the url is not a pin");
  }
  return OkStatus();
}

// Length before content, so that no two different lists of fields give the same text.
void AddField(std::string_view value, std::string* text) {
  *text += std::to_string(value.size());
  *text += ':';
  *text += value;
}

void AddList(const std::vector<std::string>& values, std::string* text) {
  *text += std::to_string(values.size());
  *text += '[';
  for (const std::string& value : values) AddField(value, text);
}

}  // namespace

Result<EnvironmentSpec> EnvironmentSpecFromJson(const Json& object, std::string_view path_view) {
  const std::string path(path_view);
  if (!object.is_object()) return InvalidArgument(path + " must be an object");
  EnvironmentSpec spec;
  const bool has_shell = !At(object, {"shell"}).is_null();
  const bool has_packages = !At(object, {"packages"}).is_null();
  if (has_shell == has_packages) {
    return InvalidArgument(path + " must have exactly one of shell and packages");
  }
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "shell", &spec.shell));
  ENVICUTOR_RETURN_IF_ERROR(CheckText(spec.shell, kMaxShellBytes, path + ".shell"));
  if (has_shell && spec.shell.find_first_not_of(" \t\r\n") == std::string::npos) {
    return InvalidArgument(path + ".shell is empty");
  }
  ENVICUTOR_RETURN_IF_ERROR(ReadPackages(object, "packages", path, &spec.packages));
  ENVICUTOR_RETURN_IF_ERROR(ReadPackages(object, "extraPackages", path, &spec.extra_packages));
  ENVICUTOR_RETURN_IF_ERROR(ReadPin(object, path, &spec));
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "salt", &spec.salt));
  ENVICUTOR_RETURN_IF_ERROR(CheckText(spec.salt, kMaxPackageBytes, path + ".salt"));

  // Quantities and durations may be written as strings or numbers.
  const auto text_of = [&object](std::string_view key) -> std::string {
    const Json& value = At(object, {key});
    return value.is_string() ? value.get<std::string>() : DumpJson(value);
  };
  if (!At(object, {"buildTimeout"}).is_null()) {
    const Result<int64_t> millis = ParseDurationMillis(text_of("buildTimeout"));
    if (!millis.ok()) return millis.status().WithContext(path + ".buildTimeout");
    if (*millis <= 0) return InvalidArgument(path + ".buildTimeout must be more than 0");
    spec.build_timeout_millis = *millis;
  }
  if (!At(object, {"buildMemory"}).is_null()) {
    const Result<int64_t> bytes = ParseQuantity(text_of("buildMemory"));
    if (!bytes.ok()) return bytes.status().WithContext(path + ".buildMemory");
    if (*bytes <= 0) return InvalidArgument(path + ".buildMemory must be more than 0");
    spec.build_memory_bytes = *bytes;
  }
  return spec;
}

Json EnvironmentSpecToJson(const EnvironmentSpec& spec) {
  Json object = Json::object();
  // An empty list of packages is an environment too: bash and coreutils.
  if (!spec.shell.empty()) {
    object["shell"] = spec.shell;
  } else {
    object["packages"] = spec.packages;
  }
  if (!spec.nixpkgs_url.empty()) {
    object["nixpkgs"] = {{"url", spec.nixpkgs_url}, {"sha256", spec.nixpkgs_sha256}};
  }
  if (!spec.extra_packages.empty()) object["extraPackages"] = spec.extra_packages;
  if (!spec.salt.empty()) object["salt"] = spec.salt;
  if (spec.build_timeout_millis > 0) {
    object["buildTimeout"] = std::to_string(spec.build_timeout_millis) + "ms";
  }
  if (spec.build_memory_bytes > 0) object["buildMemory"] = std::to_string(spec.build_memory_bytes);
  return object;
}

std::string EnvironmentHash(const EnvironmentSpec& spec, std::string_view default_pin) {
  std::string text;
  AddField(kCaptureVersion, &text);
  AddField(spec.shell, &text);
  AddList(spec.packages, &text);
  AddList(spec.extra_packages, &text);
  AddField(spec.salt, &text);
  if (spec.nixpkgs_url.empty()) {
    AddField("default", &text);
    AddField(default_pin, &text);
  } else {
    AddField("pinned", &text);
    AddField(spec.nixpkgs_url, &text);
    AddField(spec.nixpkgs_sha256, &text);
  }
  return Sha256Hex(text).substr(0, 32);
}

Json BuiltEnvironmentToJson(const BuiltEnvironment& environment) {
  Json object = {
      {"hash", environment.hash},         {"storePath", environment.store_path},
      {"shell", environment.shell},       {"envBinary", environment.env_binary},
      {"closure", environment.closure},   {"closureSizeBytes", environment.closure_size_bytes},
      {"signedBy", environment.signed_by}};
  // Base64: a variable's value is any bytes but NUL, and JSON strings are UTF-8.
  Json variables = Json::object();
  for (const auto& [name, value] : environment.variables) variables[name] = Base64Encode(value);
  object["variablesBase64"] = std::move(variables);
  return object;
}

Result<BuiltEnvironment> BuiltEnvironmentFromJson(const Json& object) {
  if (!object.is_object()) return InvalidArgument("an environment must be a JSON object");
  BuiltEnvironment environment;
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "hash", &environment.hash));
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "storePath", &environment.store_path));
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "shell", &environment.shell));
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "envBinary", &environment.env_binary));
  ENVICUTOR_RETURN_IF_ERROR(ReadInt(object, "closureSizeBytes", &environment.closure_size_bytes));
  ENVICUTOR_RETURN_IF_ERROR(ReadString(object, "signedBy", &environment.signed_by));

  const Json& closure = At(object, {"closure"});
  if (!closure.is_array() || closure.size() > kMaxClosurePaths) {
    return InvalidArgument("field \"closure\" must be a list of at most " +
                           std::to_string(kMaxClosurePaths) + " store paths");
  }
  for (const Json& path : closure) {
    if (!path.is_string()) return InvalidArgument("field \"closure\" must hold strings");
    environment.closure.push_back(path.get<std::string>());
  }
  const Json& variables = At(object, {"variablesBase64"});
  if (!variables.is_object()) {
    return InvalidArgument("field \"variablesBase64\" must be an object");
  }
  for (const auto& [name, value] : variables.items()) {
    if (!value.is_string()) return InvalidArgument("variable " + name + " must be a string");
    Result<std::string> decoded = Base64Decode(value.get_ref<const std::string&>());
    if (!decoded.ok()) return decoded.status().WithContext("variable " + name);
    environment.variables[name] = *std::move(decoded);
  }
  return environment;
}

}  // namespace envicutor::api

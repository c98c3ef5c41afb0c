#include "executor-agent/store/store_layout.h"

#include <algorithm>
#include <set>

#include "executor-agent/store/environment_store.h"

namespace envicutor::agent {
namespace {

constexpr size_t kHashLength = 32;      // of a store path, in Nix's base 32
constexpr size_t kMaxNameLength = 211;  // Nix's own bound
constexpr size_t kMaxVariableBytes = 131'071;
constexpr size_t kMaxEnvironmentBytes = 1U << 20U;
constexpr size_t kMaxVariables = 4096;

bool IsNixBase32(char c) {
  return (c >= '0' && c <= '9') ||
         (c >= 'a' && c <= 'z' && c != 'e' && c != 'o' && c != 'u' && c != 't');
}

bool IsStoreNameChar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("+-._?=").find(c) != std::string_view::npos;
}

}  // namespace

std::string StoreLayout::RealPath(std::string_view store_path) const {
  return root_ + std::string(store_path);
}
std::string StoreLayout::EnvironmentDir(const std::string& hash) const {
  return EnvironmentsDir() + "/" + hash;
}
std::string StoreLayout::EnvironmentFile(const std::string& hash) const {
  return EnvironmentDir(hash) + "/environment.json";
}
std::string StoreLayout::ViewDir(const std::string& hash) const { return ViewsDir() + "/" + hash; }

bool IsEnvironmentHash(std::string_view text) {
  return text.size() == 32 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

Status CheckStorePath(std::string_view path) {
  Status bad = InvalidArgument("not a store path: " + std::string(path.substr(0, 256)));
  if (path.substr(0, kStorePrefix.size()) != kStorePrefix) return bad;
  const std::string_view base = path.substr(kStorePrefix.size());
  if (base.size() < kHashLength + 2 || base.size() > kHashLength + 1 + kMaxNameLength) return bad;
  const std::string_view hash = base.substr(0, kHashLength);
  const std::string_view name = base.substr(kHashLength + 1);
  if (base[kHashLength] != '-' || name.front() == '.') return bad;
  if (!std::all_of(hash.begin(), hash.end(), IsNixBase32)) return bad;
  if (!std::all_of(name.begin(), name.end(), IsStoreNameChar)) return bad;
  return OkStatus();
}

Result<std::string> StorePathOf(std::string_view path) {
  const size_t slash = path.find('/', kStorePrefix.size());
  const std::string_view store_path = path.substr(0, slash);
  ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(store_path));
  std::string_view rest = slash == std::string_view::npos ? "" : path.substr(slash + 1);
  if (rest.size() > 1024 || rest.find('\0') != std::string_view::npos) {
    return InvalidArgument("a path in the store is too long or has a NUL byte");
  }
  while (slash != std::string_view::npos) {
    const size_t next = rest.find('/');
    const std::string_view part = rest.substr(0, next);
    if (part.empty() || part == "." || part == "..") {
      return InvalidArgument("not a plain path in the store: " + std::string(path.substr(0, 256)));
    }
    if (next == std::string_view::npos) break;
    rest = rest.substr(next + 1);
  }
  return std::string(store_path);
}

bool IsVariableName(std::string_view name) {
  if (name.empty() || name.size() > 256 || (name.front() >= '0' && name.front() <= '9'))
    return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  });
}

Status CheckVariables(const std::map<std::string, std::string>& variables) {
  if (variables.size() > kMaxVariables) {
    return InvalidArgument("the environment has " + std::to_string(variables.size()) +
                           " variables, more than the maximum " + std::to_string(kMaxVariables));
  }
  size_t total = 0;
  for (const auto& [name, value] : variables) {
    if (!IsVariableName(name))
      return InvalidArgument("not a variable's name: " + name.substr(0, 64));
    if (value.find('\0') != std::string::npos) {
      return InvalidArgument("variable " + name + " has a NUL byte");
    }
    const size_t size = name.size() + 1 + value.size();
    if (size > kMaxVariableBytes) {
      return InvalidArgument("variable " + name + " has " + std::to_string(size) +
                             " bytes, more than the maximum " + std::to_string(kMaxVariableBytes));
    }
    total += size + 1;
  }
  if (total > kMaxEnvironmentBytes) {
    return InvalidArgument("the environment's variables have " + std::to_string(total) +
                           " bytes, more than the maximum " + std::to_string(kMaxEnvironmentBytes));
  }
  return OkStatus();
}

Status CheckBuiltEnvironment(const api::BuiltEnvironment& environment, const std::string& hash) {
  if (!IsEnvironmentHash(environment.hash) || environment.hash != hash) {
    return InvalidArgument("it says that it is " + environment.hash.substr(0, 64) + ", not " +
                           hash);
  }
  if (environment.closure_size_bytes < 0) return InvalidArgument("its closure has a negative size");
  std::set<std::string_view> closure;
  for (const std::string& path : environment.closure) {
    ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(path));
    closure.insert(path);
  }
  ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(environment.store_path));
  if (!closure.contains(environment.store_path)) {
    return InvalidArgument("its store path is not in its closure");
  }
  const auto check_program = [&closure](const std::string& program) -> Status {
    ENVICUTOR_ASSIGN(const std::string store_path, StorePathOf(program));
    if (!closure.contains(store_path) || program == store_path) {
      return InvalidArgument("a program is not in its closure: " + program);
    }
    return OkStatus();
  };
  ENVICUTOR_RETURN_IF_ERROR(check_program(environment.shell));
  if (!environment.env_binary.empty()) {
    ENVICUTOR_RETURN_IF_ERROR(check_program(environment.env_binary));
  }
  return CheckVariables(environment.variables);
}

}  // namespace envicutor::agent

#include "standalone/apiserver/core/patch.h"

#include <algorithm>

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxOperations = 10'000;
// A patch of copies of copies doubles with each operation: bounded by what a result may weigh.
constexpr size_t kMaxCopiedBytes = 1536U << 10U;

// Where an operation may reach and how deep what it copies may be: together they bound the depth of
// every intermediate object, which is walked recursively. Copying a chain to its own end would
// double it each time.
constexpr int kMaxDepth = 128;

bool DeeperThan(const Json& value, int depth) {
  if (!value.is_structured()) return false;
  if (depth == 0) return true;
  return std::any_of(value.begin(), value.end(),
                     [&](const Json& item) { return DeeperThan(item, depth - 1); });
}

ApiError TooDeep() {
  return BadRequestError("the JSON patch nests more than " + std::to_string(kMaxDepth) +
                         " levels deep");
}

ApiError PatchFailed(std::string message) {
  ApiError error;
  error.code = 422;
  error.reason = "Invalid";
  error.message =
      "the server rejected our request due to an error in our request: " + std::move(message);
  return error;
}

}  // namespace

ApiResult<Json> ApplyJsonPatch(const Json& target, const Json& operations) {
  if (!operations.is_array()) return BadRequestError("a JSON patch must be an array of operations");
  if (operations.size() > kMaxOperations) {
    return TooLargeError("The allowed maximum operations in a JSON patch is 10000, got " +
                         std::to_string(operations.size()));
  }
  Json result = target;
  size_t copied = 0;
  for (const Json& operation : operations) {
    if (!operation.is_object() || !At(operation, {"op"}).is_string() ||
        !At(operation, {"path"}).is_string()) {
      return BadRequestError("a JSON patch operation needs op and path");
    }
    const std::string op = GetString(operation, "op");
    const std::string path = GetString(operation, "path");
    if (std::count(path.begin(), path.end(), '/') > kMaxDepth) {
      return BadRequestError("a path of the JSON patch has more than " + std::to_string(kMaxDepth) +
                             " parts");
    }
    // Kubernetes' library takes the removal of what is not there as an error too; nlohmann throws.
    try {
      if (op == "copy" || op == "move") {
        const Json& source = result.at(Json::json_pointer(GetString(operation, "from")));
        if (DeeperThan(source, kMaxDepth)) return TooDeep();
        if (op == "copy") copied += DumpJson(source).size();
        if (copied > kMaxCopiedBytes) return TooLargeError("a JSON patch copies too much");
      }
      result.patch_inplace(Json::array({operation}));
    } catch (const Json::exception& error) {
      if (op == "test") {
        return PatchFailed("testing value " + GetString(operation, "path") +
                           " failed: test failed");
      }
      return PatchFailed(op + " operation does not apply: " + path + ": " + error.what());
    }
  }
  if (DeeperThan(result, kMaxDepth)) return TooDeep();
  return result;
}

void ApplyMergePatch(Json* target, const Json& patch) {
  if (!patch.is_object()) {
    *target = patch;
    return;
  }
  if (!target->is_object()) *target = Json::object();
  for (const auto& [key, value] : patch.items()) {
    if (value.is_null()) {
      target->erase(key);
    } else {
      ApplyMergePatch(&(*target)[key], value);
    }
  }
}

}  // namespace envicutor::standalone

#include "standalone/apiserver/core/patch.h"

#include <algorithm>

#include "standalone/apiserver/core/members.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxOperations = 10'000;
// A patch of copies of copies doubles with each operation: bounded by what a result may weigh.
constexpr size_t kMaxCopiedBytes = 1536U << 10U;

// Where an operation may reach and how deep what it copies may be: together they bound the depth of
// every intermediate object, which is walked recursively. Copying a chain to its own end would
// double it each time.
constexpr int kMaxDepth = 128;

// What is moved is copied and looked through, and in a list an element moves all behind it: a few
// bytes of a patch could keep a processor busy for minutes with what the object has already.
constexpr size_t kMaxMovedValues = 500'000;
constexpr size_t kMaxShiftedElements = 2'000'000;
// A merge patch of more members goes through the object once.
constexpr size_t kMembersOneByOne = 64;

// Adds the number of values in `value`, itself included.
bool DeeperThan(const Json& value, int depth, size_t* values) {
  ++*values;
  if (!value.is_structured()) return false;
  if (depth == 0) return true;
  return std::any_of(value.begin(), value.end(),
                     [&](const Json& item) { return DeeperThan(item, depth - 1, values); });
}

// How many elements lie in the list that `path` points into; 0 where it is none.
size_t ElementsAround(const Json& root, const std::string& path) {
  const Json::json_pointer pointer(path);
  if (pointer.empty() || pointer.back() == "-") return 0;
  const Json::json_pointer parent = pointer.parent_pointer();
  if (!root.contains(parent)) return 0;
  const Json& list = root.at(parent);
  return list.is_array() ? list.size() : 0;
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
  size_t moved = 0;
  size_t shifted = 0;
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
        if (DeeperThan(source, kMaxDepth, &moved)) return TooDeep();
        if (op == "copy") copied += DumpJson(source).size();
        if (copied > kMaxCopiedBytes) return TooLargeError("a JSON patch copies too much");
        if (moved > kMaxMovedValues) {
          return TooLargeError("a JSON patch moves more than " + std::to_string(kMaxMovedValues) +
                               " values: make it several");
        }
      }
      if (op == "move") shifted += ElementsAround(result, GetString(operation, "from"));
      if (op != "test" && op != "replace") shifted += ElementsAround(result, path);
      if (shifted > kMaxShiftedElements) {
        return TooLargeError("a JSON patch shifts more than " +
                             std::to_string(kMaxShiftedElements) +
                             " elements of lists: replace the whole list");
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
  size_t values = 0;
  if (DeeperThan(result, kMaxDepth, &values)) return TooDeep();
  return result;
}

void ApplyMergePatch(Json* target, const Json& patch) {
  if (!patch.is_object()) {
    *target = patch;
    return;
  }
  if (!target->is_object()) *target = Json::object();
  if (patch.size() > kMembersOneByOne) {
    ChangeMembers(&target->get_ref<Json::object_t&>(), patch.get_ref<const Json::object_t&>(),
                  [](Json* member, const Json& value) {
                    if (!value.is_null()) ApplyMergePatch(member, value);
                    return !value.is_null();
                  });
    return;
  }
  for (const auto& [key, value] : patch.items()) {
    if (value.is_null()) {
      target->erase(key);
    } else {
      ApplyMergePatch(&(*target)[key], value);
    }
  }
}

}  // namespace envicutor::standalone

#include "common/kube/watch_decoder.h"

#include <array>
#include <utility>

#include "common/kube/errors.h"
#include "common/kube/object_text.h"

namespace envicutor::kube {
namespace {
// etcd takes objects of 1.5 MiB; a real one is far below this.
constexpr size_t kMaxEventBytes = 16U << 20U;
constexpr int kMaxEventDepth =
    512;  // what a server let in can be read: the same event would come again

void DropManagedFields(Json& object) {
  if (auto metadata = object.find("metadata"); metadata != object.end() && metadata->is_object()) {
    metadata->erase("managedFields");
  }
}

}  // namespace

bool WatchDecoder::Feed(std::string_view piece) {
  for (;;) {
    const size_t end = piece.find('\n');
    if (end == std::string_view::npos) break;
    const std::string_view line = piece.substr(0, end);
    piece.remove_prefix(end + 1);
    if (partial_.empty()) {
      if (!OnLine(line)) return false;
      continue;
    }
    partial_ += line;
    const std::string whole = std::exchange(partial_, {});
    if (!OnLine(whole)) return false;
  }
  if (partial_.size() + piece.size() > kMaxEventBytes) {
    status_ = Unavailable("a watch event is larger than 16 MiB");
    return false;
  }
  partial_ += piece;
  return true;
}

bool WatchDecoder::OnLine(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return true;
  std::string type;
  Result<Json> object = Read(line, &type);
  if (!object.ok() || !object->is_object()) {
    status_ = Unavailable("a watch event cannot be read: " + object.status().message());
    return false;
  }
  WatchEvent event;
  event.object = std::move(object).value();
  if (type == "ERROR") {
    status_ = FromStatusObject(event.object);
    return false;
  }
  if (type == "ADDED") {
    event.type = WatchEvent::Type::kAdded;
  } else if (type == "MODIFIED") {
    event.type = WatchEvent::Type::kModified;
  } else if (type == "DELETED") {
    event.type = WatchEvent::Type::kDeleted;
  } else if (type == "BOOKMARK") {
    event.type = WatchEvent::Type::kBookmark;
  } else {
    status_ = Unavailable("unknown watch event type \"" + type + "\"");
    return false;
  }
  return on_event_(std::move(event));
}

// managedFields are a third of an object, and of many small members: they do not become a tree.
Result<Json> WatchDecoder::Read(std::string_view line, std::string* type) const {
  static constexpr std::array<TextPath, 3> kPaths{TextPath{"type"}, TextPath{"object"},
                                                  TextPath{"object", "metadata", "managedFields"}};
  std::array<std::string_view, kPaths.size()> found;
  if (!FindMembers(line, kPaths, found)) {
    ENVICUTOR_ASSIGN(Json event, ParseJson(line, kMaxEventDepth));
    *type = GetString(event, "type");
    if (!At(event, {"object"}).is_object()) return InvalidArgument("it has no object");
    DropManagedFields(event["object"]);
    return std::move(event["object"]);
  }
  const auto& [type_text, object, managed] = found;
  *type = TextString(type_text);
  if (skim_ && *type != "ERROR" && *type != "BOOKMARK") {
    if (std::optional<Json> few = skim_(object)) return *std::move(few);
  }
  if (managed.empty()) return ParseJson(object, kMaxEventDepth);
  const auto start = static_cast<size_t>(managed.data() - object.data());
  std::string rest;
  rest.reserve(object.size() - managed.size() + 4);
  rest.append(object, 0, start).append("null").append(object.substr(start + managed.size()));
  ENVICUTOR_ASSIGN(Json parsed, ParseJson(rest, kMaxEventDepth));
  DropManagedFields(parsed);
  return parsed;
}

}  // namespace envicutor::kube

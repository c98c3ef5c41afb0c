#include "common/kube/watch_decoder.h"

#include <utility>

#include "common/kube/errors.h"

namespace envicutor::kube {
namespace {
// etcd takes objects of 1.5 MiB; a real one is far below this.
constexpr size_t kMaxEventBytes = 16U << 20U;
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
  Result<Json> parsed = ParseJson(line);
  if (!parsed.ok() || !At(*parsed, {"object"}).is_object()) {
    status_ = Unavailable("a watch event cannot be read: " + parsed.status().message());
    return false;
  }
  const std::string type = GetString(*parsed, "type");
  WatchEvent event;
  event.object = std::move((*parsed)["object"]);
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
  if (auto metadata = event.object.find("metadata");
      metadata != event.object.end() && metadata->is_object()) {
    metadata->erase("managedFields");
  }
  return on_event_(std::move(event));
}

}  // namespace envicutor::kube

// Internal to this room: the body of a watch, one JSON event a line, in pieces of any size.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "common/kube/client.h"

namespace envicutor::kube {

// Not thread-safe.
class WatchDecoder {
 public:
  // `skim`: WatchOptions'; may be empty.
  explicit WatchDecoder(std::function<bool(WatchEvent)> on_event,
                        std::function<std::optional<Json>(std::string_view object)> skim = nullptr)
      : on_event_(std::move(on_event)), skim_(std::move(skim)) {}

  // False: stop, because on_event said so or status() is not OK.
  [[nodiscard]] bool Feed(std::string_view piece);
  // Expired for a 410 ERROR event; what else an ERROR says; Unavailable for what cannot be read.
  [[nodiscard]] const Status& status() const { return status_; }

 private:
  bool OnLine(std::string_view line);
  // Its "object", without managedFields, and its "type".
  Result<Json> Read(std::string_view line, std::string* type) const;

  const std::function<bool(WatchEvent)> on_event_;
  const std::function<std::optional<Json>(std::string_view object)> skim_;
  std::string partial_;
  Status status_;
};

}  // namespace envicutor::kube

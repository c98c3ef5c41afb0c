#include "common/kube/cache.h"

#include <charconv>
#include <utility>

namespace envicutor::kube {
namespace {

constexpr size_t kMaxBuried = 4096;

// Kubernetes promises that resourceVersions of one resource type compare as numbers (KEP-5504).
std::optional<uint64_t> VersionNumber(const std::string& version) {
  uint64_t number = 0;
  const char* end = version.data() + version.size();
  const auto [at, error] = std::from_chars(version.data(), end, number);
  if (error != std::errc() || at != end) return std::nullopt;
  return number;
}

// False when one of them is no number.
bool IsNewer(const std::string& a, const std::string& b) {
  const auto x = VersionNumber(a);
  const auto y = VersionNumber(b);
  return x && y && *x > *y;
}

}  // namespace

ObjectPtr Cache::Get(const std::string& key) const {
  const std::scoped_lock lock(mutex_);
  const auto it = entries_.find(key);
  return it == entries_.end() ? nullptr : it->second.object;
}

std::vector<ObjectPtr> Cache::All() const {
  const std::scoped_lock lock(mutex_);
  std::vector<ObjectPtr> all;
  all.reserve(entries_.size());
  for (const auto& [key, entry] : entries_) all.push_back(entry.object);
  return all;
}

std::vector<Change> Cache::Replace(List list) {
  std::vector<Change> changes;
  const std::scoped_lock lock(mutex_);
  std::unordered_set<std::string> present;
  present.reserve(list.items.size());
  for (Json& item : list.items) {
    std::string key = KeyOf(item);
    Upsert(key, std::move(item), &changes);
    present.insert(std::move(key));
  }
  std::vector<std::string> missing;
  for (const auto& [key, entry] : entries_) {
    // Newer than the list: our own write while the list was made. The watch will tell of it.
    if (!present.contains(key) &&
        !IsNewer(ResourceVersionOf(*entry.object), list.resource_version)) {
      missing.push_back(key);
    }
  }
  for (const std::string& key : missing) Remove(key, &changes);
  return changes;
}

std::vector<Change> Cache::Apply(WatchEvent event) {
  std::vector<Change> changes;
  const std::string key = KeyOf(event.object);
  if (key.empty() || event.type == WatchEvent::Type::kBookmark) return changes;
  const std::scoped_lock lock(mutex_);
  if (event.type != WatchEvent::Type::kDeleted) {
    Upsert(key, std::move(event.object), &changes);
    return changes;
  }
  const auto it = entries_.find(key);
  if (it == entries_.end()) {
    Bury(UidOf(event.object));
  } else if (UidOf(*it->second.object) == UidOf(event.object)) {
    // The event has the last state, which the handlers may want to see.
    it->second.object = std::make_shared<const Json>(std::move(event.object));
    Remove(key, &changes);
  }
  return changes;
}

void Cache::Observe(const Json& object) {
  const std::string key = KeyOf(object);
  const std::string uid = UidOf(object);
  if (key.empty() || uid.empty() || !VersionNumber(ResourceVersionOf(object))) return;
  Json copy = object;
  copy["metadata"].erase("managedFields");
  auto now = std::make_shared<const Json>(std::move(copy));
  const std::scoped_lock lock(mutex_);
  const auto it = entries_.find(key);
  if (it == entries_.end()) {
    if (!buried_.contains(uid)) entries_.emplace(key, Entry{std::move(now), nullptr});
  } else if (UidOf(*it->second.object) == uid &&
             IsNewer(ResourceVersionOf(*now), ResourceVersionOf(*it->second.object))) {
    it->second.object = std::move(now);
  }
}

void Cache::Upsert(const std::string& key, Json object, std::vector<Change>* changes) {
  Entry& entry = entries_[key];
  if (entry.object && UidOf(*entry.object) != UidOf(object)) {
    // Deleted and made again under the same name while we did not look.
    Bury(UidOf(*entry.object));
    if (entry.announced) changes->push_back({entry.announced, nullptr});
    entry = {};
  }
  const bool stale =
      entry.object && IsNewer(ResourceVersionOf(*entry.object), ResourceVersionOf(object));
  if (!stale) {
    const std::string version = ResourceVersionOf(object);
    // The same version again, as in a list: keep the pointer, nobody needs to hear of it.
    if (!entry.object || version.empty() || ResourceVersionOf(*entry.object) != version) {
      entry.object = std::make_shared<const Json>(std::move(object));
    }
  }
  if (entry.announced == entry.object) return;
  changes->push_back({entry.announced, entry.object});
  entry.announced = entry.object;
}

void Cache::Remove(const std::string& key, std::vector<Change>* changes) {
  const auto it = entries_.find(key);
  Bury(UidOf(*it->second.object));
  if (it->second.announced) changes->push_back({it->second.object, nullptr});
  entries_.erase(it);
}

void Cache::Bury(const std::string& uid) {
  if (!buried_.insert(uid).second) return;
  burials_.push_back(uid);
  if (burials_.size() > kMaxBuried) {
    buried_.erase(burials_.front());
    burials_.pop_front();
  }
}

}  // namespace envicutor::kube

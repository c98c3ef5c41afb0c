#include "common/kube/cache.h"

#include <charconv>
#include <iterator>
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

ObjectPtr Cache::FromSummary(const std::string& key, const Summary& summary) {
  const size_t slash = key.find('/');
  Json metadata = {{"name", slash == std::string::npos ? key : key.substr(slash + 1)},
                   {"uid", summary.uid},
                   {"resourceVersion", summary.version}};
  if (slash != std::string::npos) metadata["namespace"] = key.substr(0, slash);
  return std::make_shared<const Json>(
      Json{{"metadata", std::move(metadata)}, {"status", {{"phase", *summary.phase}}}});
}

std::string Cache::UidIn(const Entry& entry) {
  return entry.object ? UidOf(*entry.object) : entry.summary->uid;
}

std::string Cache::VersionIn(const Entry& entry) {
  return entry.object ? ResourceVersionOf(*entry.object) : entry.summary->version;
}

ObjectPtr Cache::Last(const std::string& key, const Entry& entry) {
  if (entry.announced) return entry.announced;
  return entry.Told() ? FromSummary(key, *entry.summary) : nullptr;
}

void Cache::Summarize(const Json& object, bool announced, Entry* entry) {
  const std::string phase = GetString(At(object, {"status"}), "phase");
  entry->summary = std::make_unique<Summary>(
      Summary{UidOf(object), ResourceVersionOf(object), &*phases_.insert(phase).first, announced});
  entry->object = nullptr;
}

ObjectPtr Cache::Get(const std::string& key) const {
  const std::scoped_lock lock(mutex_);
  const auto it = entries_.find(key);
  if (it == entries_.end()) return nullptr;
  return it->second.object ? it->second.object : FromSummary(key, *it->second.summary);
}

std::vector<ObjectPtr> Cache::All() const {
  const std::scoped_lock lock(mutex_);
  std::vector<ObjectPtr> all;
  for (const auto& [key, entry] : entries_) {
    if (entry.object) all.push_back(entry.object);
  }
  return all;
}

std::map<std::string, int64_t> Cache::Summarized() const {
  const std::scoped_lock lock(mutex_);
  std::map<const std::string*, int64_t> counts;
  for (const auto& [key, entry] : entries_) {
    if (entry.summary) ++counts[entry.summary->phase];
  }
  std::map<std::string, int64_t> named;
  for (const auto& [phase, count] : counts) named[*phase] = count;
  return named;
}

void Cache::BeginList() {
  const std::scoped_lock lock(mutex_);
  ++list_;
}

std::vector<Change> Cache::AddListed(std::vector<Json> items) {
  std::vector<Change> changes;
  const std::scoped_lock lock(mutex_);
  for (Json& item : items) {
    const std::string key = KeyOf(item);
    Upsert(key, std::move(item), &changes);
    entries_[key].list = list_;
  }
  return changes;
}

std::vector<Change> Cache::EndList(const std::string& version) {
  std::vector<Change> changes;
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> missing;
  for (const auto& [key, entry] : entries_) {
    // Newer than the list: our own write while the list was made. The watch will tell of it.
    if (entry.list != list_ && !IsNewer(VersionIn(entry), version)) missing.push_back(key);
  }
  for (const std::string& key : missing) {
    const Entry& entry = entries_.at(key);
    Remove(key, entry.object ? entry.object : FromSummary(key, *entry.summary), &changes);
  }
  return changes;
}

std::vector<Change> Cache::Replace(List list) {
  BeginList();
  std::vector<Change> changes = AddListed(std::move(list.items));
  std::vector<Change> missing = EndList(list.resource_version);
  std::move(missing.begin(), missing.end(), std::back_inserter(changes));
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
  } else if (UidIn(it->second) == UidOf(event.object)) {
    // The event has the last state, which the handlers may want to see.
    Remove(key, std::make_shared<const Json>(std::move(event.object)), &changes);
  }
  return changes;
}

void Cache::Observe(const Json& object) {
  const std::string key = KeyOf(object);
  const std::string uid = UidOf(object);
  if (key.empty() || uid.empty() || !VersionNumber(ResourceVersionOf(object))) return;
  const bool small = summarize_ && summarize_(object);
  ObjectPtr now;
  if (!small) {
    Json copy = object;
    copy["metadata"].erase("managedFields");
    now = std::make_shared<const Json>(std::move(copy));
  }
  const std::scoped_lock lock(mutex_);
  const auto it = entries_.find(key);
  if (it == entries_.end()) {
    if (buried_.contains(uid)) return;
    Entry entry;
    entry.object = std::move(now);
    if (small) Summarize(object, false, &entry);
    entries_.emplace(key, std::move(entry));
    return;
  }
  Entry& entry = it->second;
  if (UidIn(entry) != uid || !IsNewer(ResourceVersionOf(object), VersionIn(entry))) return;
  entry.announced = Last(key, entry);
  if (small) {
    Summarize(object, false, &entry);
  } else {
    entry.summary = nullptr;
    entry.object = std::move(now);
  }
}

void Cache::Upsert(const std::string& key, Json object, std::vector<Change>* changes) {
  Entry& entry = entries_[key];
  if (entry.Known() && UidIn(entry) != UidOf(object)) {
    // Deleted and made again under the same name while we did not look.
    Bury(UidIn(entry));
    if (entry.Told()) changes->push_back({Last(key, entry), nullptr});
    entry = {};
  }
  const std::string version = ResourceVersionOf(object);
  const bool stale = entry.Known() && IsNewer(VersionIn(entry), version);
  if (entry.summary) {
    // Old news of what was observed meanwhile: the watch will tell of that, too.
    if (stale) return;
    if (entry.summary->announced && !version.empty() && entry.summary->version == version) return;
  }
  if (!stale && summarize_ && summarize_(object)) {
    const ObjectPtr old = Last(key, entry);
    Summarize(object, true, &entry);
    entry.announced = nullptr;
    changes->push_back({old, std::make_shared<const Json>(std::move(object))});
    return;
  }
  if (entry.summary) {  // not to be summarized any more
    entry.announced = Last(key, entry);
    entry.summary = nullptr;
  }
  if (!stale) {
    // The same version again, as in a list: keep the pointer, nobody needs to hear of it.
    if (!entry.object || version.empty() || ResourceVersionOf(*entry.object) != version) {
      entry.object = std::make_shared<const Json>(std::move(object));
    }
  }
  if (entry.announced == entry.object) return;
  changes->push_back({entry.announced, entry.object});
  entry.announced = entry.object;
}

void Cache::Remove(const std::string& key, ObjectPtr last, std::vector<Change>* changes) {
  const auto it = entries_.find(key);
  Bury(UidIn(it->second));
  if (it->second.Told()) changes->push_back({std::move(last), nullptr});
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

// What readers and watches ask of the store.
#include <algorithm>

#include "standalone/apiserver/core/store.h"

namespace envicutor::standalone {
namespace {

bool HasPrefix(const std::string& key, const std::string& prefix) {
  return key.compare(0, prefix.size(), prefix) == 0;
}

}  // namespace

uint64_t Store::PublishedRevision() const {
  const std::lock_guard lock(mutex_);
  return published_;
}

ObjectPtr Store::Get(const std::string& resource, const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto data = resources_.find(resource);
  if (data == resources_.end()) return nullptr;
  const auto it = data->second.objects.find(key);
  return it == data->second.objects.end() ? nullptr : it->second;
}

ListSnapshot Store::List(const std::string& resource, const std::string& prefix) const {
  const std::lock_guard lock(mutex_);
  ListSnapshot snapshot;
  snapshot.revision = published_;
  const auto data = resources_.find(resource);
  if (data == resources_.end()) return snapshot;
  const auto& objects = data->second.objects;
  if (prefix.empty()) snapshot.objects.reserve(objects.size());
  for (auto it = objects.lower_bound(prefix); it != objects.end(); ++it) {
    if (!HasPrefix(it->first, prefix)) break;
    snapshot.objects.push_back(it->second);
  }
  return snapshot;
}

std::optional<ListSnapshot> Store::ListAt(const std::string& resource, const std::string& prefix,
                                          uint64_t revision) const {
  const std::lock_guard lock(mutex_);
  ListSnapshot snapshot;
  snapshot.revision = revision;
  const auto found = resources_.find(resource);
  if (found == resources_.end()) return snapshot;
  const ResourceData& data = found->second;
  if (revision < data.oldest) return std::nullopt;
  // The present, with every later change undone.
  std::map<std::string, ObjectPtr> undone;
  for (auto change = data.history.rbegin();
       change != data.history.rend() && change->revision > revision; ++change) {
    if (HasPrefix(change->key, prefix)) undone[change->key] = change->previous;
  }
  auto undo = undone.begin();
  const auto take_undone_before = [&](const std::string* key) {
    for (; undo != undone.end() && (key == nullptr || undo->first < *key); ++undo) {
      if (undo->second != nullptr) snapshot.objects.push_back(undo->second);
    }
  };
  for (auto it = data.objects.lower_bound(prefix);
       it != data.objects.end() && HasPrefix(it->first, prefix); ++it) {
    take_undone_before(&it->first);
    if (undo != undone.end() && undo->first == it->first) {
      if (undo->second != nullptr) snapshot.objects.push_back(undo->second);
      ++undo;
    } else {
      snapshot.objects.push_back(it->second);
    }
  }
  take_undone_before(nullptr);
  return snapshot;
}

size_t Store::CountHead(const std::string& resource, const std::string& prefix, size_t most) const {
  const std::lock_guard lock(mutex_);
  const auto found = resources_.find(resource);
  if (found == resources_.end()) return 0;
  const ResourceData& data = found->second;
  size_t count = 0;
  for (const auto& [key, waiting] : data.overlay) {
    if (count < most && waiting.first != nullptr && HasPrefix(key, prefix)) ++count;
  }
  for (auto it = data.objects.lower_bound(prefix);
       count < most && it != data.objects.end() && HasPrefix(it->first, prefix); ++it) {
    if (!data.overlay.contains(it->first)) ++count;
  }
  return count;
}

size_t Store::HeldBytes() const {
  const std::lock_guard lock(mutex_);
  size_t bytes = 0;
  for (const auto& [name, data] : resources_) {
    for (const auto& [key, object] : data.objects) bytes += object->HeldBytes();
  }
  return bytes;
}

ChangeBatch Store::ChangesSince(const std::string& resource, uint64_t revision, size_t max) const {
  const std::lock_guard lock(mutex_);
  ChangeBatch batch;
  batch.up_to = std::max(published_, revision);
  const auto found = resources_.find(resource);
  if (found == resources_.end()) return batch;
  const ResourceData& data = found->second;
  batch.oldest = data.oldest;
  if (revision < data.oldest) {
    batch.expired = true;
    return batch;
  }
  auto first = std::upper_bound(
      data.history.begin(), data.history.end(), revision,
      [](uint64_t wanted, const Change& change) { return wanted < change.revision; });
  for (; first != data.history.end(); ++first) {
    if (batch.changes.size() == max) {
      batch.up_to = batch.changes.back().revision;
      break;
    }
    batch.changes.push_back(*first);
  }
  return batch;
}

}  // namespace envicutor::standalone

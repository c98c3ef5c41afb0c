#include "standalone/apiserver/core/store.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/log.h"

namespace envicutor::standalone {

Store::Store(Storage* storage, size_t history_events)
    : storage_(storage), history_events_(history_events) {}

Status Store::Load() {
  ENVICUTOR_ASSIGN(StorageContent content, storage_->Open(this));
  const std::lock_guard lock(mutex_);
  // Revision 0 means "any" and 1 is what an empty etcd answers.
  head_ = published_ = std::max<uint64_t>(content.revision, 1);
  for (StoredObject& stored : content.objects) {
    Result<Json> json = ParseJson(stored.text);
    if (!json.ok()) return json.status().WithContext(stored.resource + " " + stored.key);
    auto object = std::make_shared<Object>();
    object->json = std::move(json).value();
    object->text = std::move(stored.text);
    object->revision = stored.revision;
    resources_[stored.resource].objects[stored.key] = std::move(object);
  }
  // Without history, a watch may go on from any revision after the resource's last change.
  for (const auto& [resource, revision] : content.last_change) {
    resources_[resource].oldest = revision;
  }
  return OkStatus();
}

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

ObjectPtr Store::HeadLocked(const std::string& resource, const std::string& key) const {
  const auto data = resources_.find(resource);
  if (data == resources_.end()) return nullptr;
  const auto waiting = data->second.overlay.find(key);
  if (waiting != data->second.overlay.end()) return waiting->second.first;
  const auto it = data->second.objects.find(key);
  return it == data->second.objects.end() ? nullptr : it->second;
}

ObjectPtr Store::GetHead(const std::string& resource, const std::string& key) const {
  const std::lock_guard lock(mutex_);
  return HeadLocked(resource, key);
}

namespace {

bool HasPrefix(const std::string& key, const std::string& prefix) {
  return key.compare(0, prefix.size(), prefix) == 0;
}

void KeepText(ObjectPtr* object) {
  if (*object != nullptr) {
    *object = std::make_shared<Object>(Object{Json(), (*object)->text, (*object)->revision});
  }
}

void ParseAgain(ObjectPtr* object) {
  if (*object == nullptr || !(*object)->json.is_null()) return;
  Result<Json> json = ParseJson((*object)->text);
  CHECK(json.ok(), "the store's own text is JSON");
  *object = std::make_shared<Object>(
      Object{std::move(json).value(), (*object)->text, (*object)->revision});
}

}  // namespace

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
  std::unique_lock lock(mutex_);
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
  lock.unlock();
  for (ObjectPtr& object : snapshot.objects) ParseAgain(&object);
  return snapshot;
}

bool Store::AnyHead(const std::string& resource, const std::string& prefix) const {
  const std::lock_guard lock(mutex_);
  const auto found = resources_.find(resource);
  if (found == resources_.end()) return false;
  const ResourceData& data = found->second;
  for (const auto& [key, waiting] : data.overlay) {
    if (waiting.first != nullptr && HasPrefix(key, prefix)) return true;
  }
  for (auto it = data.objects.lower_bound(prefix);
       it != data.objects.end() && HasPrefix(it->first, prefix); ++it) {
    if (!data.overlay.contains(it->first)) return true;
  }
  return false;
}

WriteOutcome Store::Write(StoreWrite write) {
  CHECK(write.object || write.expected, "a delete of nothing");
  const bool deleting = !write.object;
  auto waiter = std::make_shared<Waiter>();
  ObjectDraft draft =
      deleting ? DraftObject(write.expected->json) : DraftObject(std::move(*write.object));
  ObjectPtr object;
  {
    const std::lock_guard lock(mutex_);
    if (HeadLocked(write.resource, write.key) != write.expected) {
      return {WriteOutcome::Kind::kConflict, nullptr, {}};
    }
    for (const StoreWrite::Guard& guard : write.guards) {
      if (HeadLocked(guard.resource, guard.key) != guard.expected) {
        return {WriteOutcome::Kind::kConflict, nullptr, {}};
      }
    }
    const uint64_t revision = ++head_;
    object = FinishObject(std::move(draft), revision);
    const ChangeType type = deleting                    ? ChangeType::kDeleted
                            : write.expected == nullptr ? ChangeType::kAdded
                                                        : ChangeType::kModified;
    ResourceData& data = resources_[write.resource];
    data.overlay[write.key] = {deleting ? nullptr : object, revision};
    storage_->Append({revision, write.resource, write.key, deleting ? nullptr : object});
    pending_.push_back(
        {write.resource, {revision, type, write.key, object, std::move(write.expected)}, waiter});
  }
  storage_->Flush();
  std::unique_lock lock(mutex_);
  waiter->wake.wait(lock, [&] { return waiter->done; });
  if (!waiter->status.ok()) return {WriteOutcome::Kind::kFailed, nullptr, waiter->status};
  return {WriteOutcome::Kind::kDone, std::move(object), {}};
}

void Store::ApplyLocked(ResourceData& data, const Change& change) {
  if (change.type == ChangeType::kDeleted) {
    data.objects.erase(change.key);
  } else {
    data.objects[change.key] = change.object;
  }
  const auto waiting = data.overlay.find(change.key);
  if (waiting != data.overlay.end() && waiting->second.second <= change.revision) {
    data.overlay.erase(waiting);
  }
  data.history.push_back(change);
  data.history_bytes += change.object->text.size();
  while (data.history.size() > history_events_ || data.history_bytes > kMaxHistoryBytes) {
    data.oldest = data.history.front().revision;
    data.history_bytes -= data.history.front().object->text.size();
    data.history.pop_front();
    if (data.text_only > 0) --data.text_only;
  }
  while (data.history.size() - data.text_only > kParsedHistoryEvents) {
    Change& old = data.history[data.text_only++];
    KeepText(&old.object);
    KeepText(&old.previous);
  }
}

void Store::OnDurable(uint64_t revision) {
  const std::lock_guard in_order(publish_mutex_);
  std::vector<std::pair<std::string, Change>> changes;
  std::vector<std::shared_ptr<Waiter>> waiters;
  {
    const std::lock_guard lock(mutex_);
    while (!pending_.empty() && pending_.front().change.revision <= revision) {
      Pending& pending = pending_.front();
      ApplyLocked(resources_[pending.resource], pending.change);
      published_ = pending.change.revision;
      waiters.push_back(std::move(pending.waiter));
      changes.emplace_back(std::move(pending.resource), std::move(pending.change));
      pending_.pop_front();
    }
  }
  // Listeners first: who reads after its own write (a kind after its CRD) finds everything in
  // place.
  if (publish_listener_ && !changes.empty()) publish_listener_(changes);
  {
    const std::lock_guard lock(mutex_);
    for (const auto& waiter : waiters) waiter->done = true;
  }
  for (const auto& waiter : waiters) waiter->wake.notify_one();
}

void Store::OnFailed(const Status& status) {
  const std::lock_guard in_order(publish_mutex_);
  log::Error("writing to storage failed", {{"error", status.ToString()}});
  std::vector<std::shared_ptr<Waiter>> waiters;
  {
    const std::lock_guard lock(mutex_);
    storage_->Discard();
    for (Pending& pending : pending_) {
      pending.waiter->status = status;
      pending.waiter->done = true;
      waiters.push_back(std::move(pending.waiter));
    }
    pending_.clear();
    for (auto& [name, data] : resources_) data.overlay.clear();
  }
  for (const auto& waiter : waiters) waiter->wake.notify_one();
}

ChangeBatch Store::ChangesSince(const std::string& resource, uint64_t revision, size_t max) const {
  std::unique_lock lock(mutex_);
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
  lock.unlock();
  for (Change& change : batch.changes) {
    ParseAgain(&change.object);
    ParseAgain(&change.previous);
  }
  return batch;
}

}  // namespace envicutor::standalone

#include "standalone/apiserver/core/store.h"

#include <algorithm>
#include <utility>

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
    Result<ObjectPtr> object = ReadObject(std::move(stored.text), stored.revision);
    if (!object.ok()) return object.status().WithContext(stored.resource + " " + stored.key);
    resources_[stored.resource].objects[stored.key] = std::move(object).value();
  }
  // Without history, a watch may go on from any revision after the resource's last change.
  for (const auto& [resource, revision] : content.last_change) {
    resources_[resource].oldest = revision;
  }
  return OkStatus();
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

std::shared_ptr<WriteTicket> Store::Begin(StoreWrite* write) {
  CHECK(write->object || write->expected, "a delete of nothing");
  const bool deleting = !write->object;
  std::shared_ptr<WriteTicket> ticket;
  std::vector<ObjectPtr> too_many;
  {
    const std::lock_guard lock(mutex_);
    if (HeadLocked(write->resource, write->key) != write->expected) return nullptr;
    for (const StoreWrite::Guard& guard : write->guards) {
      if (HeadLocked(guard.resource, guard.key) != guard.expected) return nullptr;
    }
    const uint64_t revision = ++head_;
    const ObjectPtr object = deleting ? write->expected->AtRevision(revision)
                                      : FinishObject(std::move(*write->object), revision);
    ticket = std::make_shared<WriteTicket>(object);
    if (!deleting) KeepTreeLocked(object, &too_many);
    const ChangeType type = deleting                     ? ChangeType::kDeleted
                            : write->expected == nullptr ? ChangeType::kAdded
                                                         : ChangeType::kModified;
    ResourceData& data = resources_[write->resource];
    data.overlay[write->key] = {deleting ? nullptr : object, revision};
    storage_->Append({revision, write->resource, write->key, deleting ? nullptr : object});
    pending_.push_back({std::move(write->resource),
                        {revision, type, std::move(write->key), object, std::move(write->expected)},
                        ticket});
  }
  for (const ObjectPtr& old : too_many) old->DropTree();
  return ticket;
}

bool Store::Confirm(const std::string& resource, const std::string& key, const ObjectPtr& expected,
                    std::shared_ptr<WriteTicket>* ticket) const {
  const std::lock_guard lock(mutex_);
  ticket->reset();
  if (HeadLocked(resource, key) != expected) return false;
  const auto data = resources_.find(resource);
  if (data == resources_.end()) return true;
  const auto laid = data->second.overlay.find(key);
  if (laid == data->second.overlay.end()) return true;
  const uint64_t revision = laid->second.second;
  const auto waiting = std::lower_bound(
      pending_.begin(), pending_.end(), revision,
      [](const Pending& pending, uint64_t wanted) { return pending.change.revision < wanted; });
  CHECK(waiting != pending_.end() && waiting->change.revision == revision,
        "what is laid over the published objects is pending");
  *ticket = waiting->ticket;
  return true;
}

std::shared_ptr<WriteTicket> Store::Newest(const std::string& resource,
                                           const std::string& prefix) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(pending_.rbegin(), pending_.rend(), [&](const Pending& pending) {
    return pending.resource == resource && pending.change.key.starts_with(prefix);
  });
  return found == pending_.rend() ? nullptr : found->ticket;
}

WriteOutcome Store::Write(StoreWrite* write) {
  const std::shared_ptr<WriteTicket> ticket = Begin(write);
  if (ticket == nullptr) return {WriteOutcome::Kind::kConflict, nullptr, {}};
  return Wait(ticket);
}

WriteOutcome Store::Wait(const std::shared_ptr<WriteTicket>& ticket) {
  storage_->Flush();
  std::unique_lock lock(mutex_);
  ticket->wake_.wait(lock, [&] { return ticket->done_; });
  if (!ticket->status_.ok()) return {WriteOutcome::Kind::kFailed, nullptr, ticket->status_};
  return {WriteOutcome::Kind::kDone, ticket->object_, {}};
}

void Store::Then(const std::shared_ptr<WriteTicket>& ticket,
                 std::function<void(const Status&)> then) {
  {
    const std::lock_guard lock(mutex_);
    if (!ticket->done_) ticket->then_.push_back(std::exchange(then, nullptr));
  }
  if (then != nullptr) {
    then(ticket->status_);
    return;
  }
  storage_->FlushSoon();
}

void Store::Tell(const std::vector<std::shared_ptr<WriteTicket>>& tickets, const Status& status) {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& ticket : tickets) {
      ticket->status_ = status;
      ticket->done_ = true;
    }
  }
  // Nobody adds to then_ any more.
  for (const auto& ticket : tickets) {
    for (const auto& then : std::exchange(ticket->then_, {})) then(status);
    ticket->wake_.notify_all();
  }
}

void Store::KeepTreeLocked(const ObjectPtr& object, std::vector<ObjectPtr>* too_many) {
  trees_.push_back(object);
  trees_bytes_ += object->TextBytes();
  while (trees_.size() > kMaxTrees || (trees_bytes_ > kMaxTreesTextBytes && trees_.size() > 1)) {
    trees_bytes_ -= trees_.front()->TextBytes();
    too_many->push_back(std::move(trees_.front()));
    trees_.pop_front();
  }
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
  data.history_bytes += change.object->TextBytes();
  while (data.history.size() > history_events_ || data.history_bytes > kMaxHistoryBytes) {
    data.oldest = data.history.front().revision;
    data.history_bytes -= data.history.front().object->TextBytes();
    data.history.pop_front();
  }
}

void Store::OnDurable(uint64_t revision) {
  const std::lock_guard in_order(publish_mutex_);
  std::vector<std::pair<std::string, Change>> changes;
  std::vector<std::shared_ptr<WriteTicket>> tickets;
  {
    const std::lock_guard lock(mutex_);
    while (!pending_.empty() && pending_.front().change.revision <= revision) {
      Pending& pending = pending_.front();
      ApplyLocked(resources_[pending.resource], pending.change);
      published_ = pending.change.revision;
      tickets.push_back(std::move(pending.ticket));
      changes.emplace_back(std::move(pending.resource), std::move(pending.change));
      pending_.pop_front();
    }
  }
  // Listeners first: who reads after its own write (a kind after its CRD) finds everything in
  // place.
  if (publish_listener_ && !changes.empty()) publish_listener_(changes);
  Tell(tickets, OkStatus());
  drained_.notify_all();
}

void Store::OnFailed(const Status& status) {
  const std::lock_guard in_order(publish_mutex_);
  log::Error("writing to storage failed", {{"error", status.ToString()}});
  std::vector<std::shared_ptr<WriteTicket>> tickets;
  {
    const std::lock_guard lock(mutex_);
    storage_->Discard();
    for (Pending& pending : pending_) tickets.push_back(std::move(pending.ticket));
    pending_.clear();
    for (auto& [name, data] : resources_) data.overlay.clear();
  }
  Tell(tickets, status);
  drained_.notify_all();
}

void Store::Drain() {
  storage_->Flush();
  {
    std::unique_lock lock(mutex_);
    drained_.wait(lock, [this] { return pending_.empty(); });
  }
  const std::lock_guard told(publish_mutex_);  // the last ones have been, too
}

}  // namespace envicutor::standalone

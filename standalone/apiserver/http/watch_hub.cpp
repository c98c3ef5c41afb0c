#include "standalone/apiserver/http/watch_hub.h"

#include <algorithm>

namespace envicutor::standalone {
namespace {

constexpr size_t kChangesAtOnce = 256;

}  // namespace

WatchHub::WatchHub(Api* api, std::chrono::seconds bookmark_period)
    : api_(api), bookmark_period_(bookmark_period), thread_([this] { Run(); }) {}

WatchHub::~WatchHub() { Stop(); }

void WatchHub::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void WatchHub::Wake() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(woken_, true)) return;
  }
  changed_.notify_all();
}

void WatchHub::Add(WatchRequest request, std::shared_ptr<http::ResponseWriter> writer) {
  auto closed = std::make_shared<std::atomic<bool>>(false);
  // The server goes before the hub: the callback never outlives it.
  writer->OnClose([this, closed] {
    closed->store(true);
    Wake();
  });
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      writer->Finish();
      return;
    }
    const SteadyTime next = api_->clock().Now() + bookmark_period_;
    added_.push_back({std::move(request), std::move(writer), std::move(closed), next, 0});
    woken_ = true;
  }
  changed_.notify_all();
}

void WatchHub::Run() {
  while (true) {
    SteadyTime next = SteadyTime::max();
    for (const Watch& watch : watches_) {
      next = std::min(next, watch.request.deadline);
      if (watch.request.bookmarks) next = std::min(next, watch.next_bookmark);
    }
    {
      std::unique_lock lock(mutex_);
      const auto ready = [&] { return woken_ || stopping_; };
      if (next == SteadyTime::max()) {
        changed_.wait(lock, ready);
      } else {
        changed_.wait_until(lock, next, ready);
      }
      if (stopping_) {
        watches_.splice(watches_.end(), added_);
        break;
      }
      woken_ = false;
      watches_.splice(watches_.end(), added_);
    }
    const SteadyTime now = api_->clock().Now();
    watches_.remove_if([&](Watch& watch) { return !Advance(&watch, now); });
  }
  for (const Watch& watch : watches_) watch.writer->Finish();
  watches_.clear();
}

bool WatchHub::Advance(Watch* watch, SteadyTime now) {
  WatchRequest& request = watch->request;
  if (watch->closed->load()) return false;
  const std::string storage = request.resource->StorageName();
  request.output.now = api_->clock().WallNow();
  while (true) {
    ChangeBatch batch = api_->store().ChangesSince(storage, request.revision, kChangesAtOnce);
    if (batch.expired) {
      (void)watch->writer->Write(ErrorEventText(
          ExpiredError("too old resource version: " + std::to_string(request.revision) + " (" +
                       std::to_string(batch.oldest) + ")")));
      watch->writer->Finish();
      return false;
    }
    for (const Change& change : batch.changes) {
      if (!Send(watch, change)) return false;
    }
    request.revision = batch.up_to;
    if (batch.changes.size() < kChangesAtOnce) break;
  }
  const bool over = now >= request.deadline;
  if (request.bookmarks && (over || now >= watch->next_bookmark)) {
    watch->next_bookmark = now + bookmark_period_;
    if (!watch->writer->Write(
            BookmarkText(*request.resource, request.revision, request.output, false))) {
      return false;
    }
  }
  // A kind that is served no more has no watches.
  const uint64_t generation = api_->registry_generation();
  const bool gone = generation != std::exchange(watch->registry_generation, generation) &&
                    api_->registry()->Find(request.resource->group, request.resource->version,
                                           request.resource->plural) == nullptr;
  if (over || gone) {
    watch->writer->Finish();
    return false;
  }
  return true;
}

bool WatchHub::Send(Watch* watch, const Change& change) {
  WatchRequest& request = watch->request;
  if (!request.ns.empty() && change.key.compare(0, request.ns.size() + 1, request.ns + "/") != 0) {
    return true;
  }
  const auto matches = [&](const ObjectPtr& object) {
    return object != nullptr && request.labels.Matches(*object) &&
           request.fields.Matches(*object, *request.resource);
  };
  const bool before = matches(change.previous);
  const bool after = change.type != ChangeType::kDeleted && matches(change.object);
  if (!before && !after) return true;
  std::string_view type = before && after ? "MODIFIED" : after ? "ADDED" : "DELETED";
  ObjectPtr shown = change.object;
  if (!after && change.type == ChangeType::kModified) {
    // Out of the selection: the last state that was in it, with the version of the change.
    shown = change.previous->AtRevision(change.revision);
  }
  const bool with_columns = !std::exchange(request.columns_sent, true);
  return watch->writer->Write(
      EventText(type, *request.resource, *shown, request.output, with_columns));
}

}  // namespace envicutor::standalone

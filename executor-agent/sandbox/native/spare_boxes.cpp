#include "executor-agent/sandbox/native/spare_boxes.h"

#include <algorithm>
#include <utility>

#include "executor-agent/sandbox/native/messages.h"

namespace envicutor::agent::native {

SpareBoxes::SpareBoxes(Send send, Send send_now, size_t keep, Assign assign,
                       GiveBackUid give_back_uid)
    : send_(std::move(send)),
      send_now_(std::move(send_now)),
      keep_(keep),
      assign_(std::move(assign)),
      give_back_uid_(std::move(give_back_uid)) {}

void SpareBoxes::Drop(uint64_t generation, const Asked& asked) {
  Request request;
  request.op = Op::kDropBox;
  request.id = asked.request.id;
  // Fails only when that spawner is gone, and the box with it.
  (void)send_(generation, request, {});
  give_back_uid_(asked.request.uid);
}

bool SpareBoxes::Expect(uint64_t generation) {
  if (generation <= generation_) return generation == generation_;
  for (const Asked& gone : asked_) give_back_uid_(gone.request.uid);
  asked_.clear();
  generation_ = generation;
  return true;
}

std::optional<SpareBoxes::Asked> SpareBoxes::Pick(uint64_t generation, const Request& size,
                                                  std::optional<Asked>* in_the_way) {
  const std::lock_guard lock(mutex_);
  if (!Expect(generation)) return std::nullopt;
  const auto found = std::find_if(asked_.begin(), asked_.end(), [&](const Asked& asked) {
    return asked.request.disk_bytes == size.disk_bytes && asked.request.inodes == size.inodes;
  });
  if (found == asked_.end()) {
    if (asked_.size() < keep_) return std::nullopt;
    // Sizes that nobody wants any more make room.
    *in_the_way = std::move(asked_.front());
    asked_.pop_front();
    return std::nullopt;
  }
  Asked asked = std::move(*found);
  asked_.erase(found);
  return asked;
}

std::optional<SpareBox> SpareBoxes::Take(uint64_t generation, const Request& size) {
  std::optional<Asked> in_the_way;
  const std::optional<Asked> asked = Pick(generation, size, &in_the_way);
  if (in_the_way) Drop(generation, *in_the_way);
  if (!asked) return std::nullopt;
  // Without the mutex: nobody waits for another's box.
  Result<UniqueFd> top = ReceiveReply(asked->reply.get());
  // Not made, or without its folder, which gets lost where no descriptor is free: whoever makes one
  // says why.
  if (!top.ok() || !top->valid()) {
    Drop(generation, *asked);
    return std::nullopt;
  }
  return SpareBox{asked->request.id, asked->request.uid, *std::move(top)};
}

void SpareBoxes::Refill(uint64_t generation, const Request& size) {
  const std::lock_guard lock(mutex_);
  if (!Expect(generation) || asked_.size() >= keep_) return;
  Result<ReplySockets> sockets = MakeReplySockets();
  if (!sockets.ok()) return;
  Asked asked{size, std::move(sockets->ours)};
  if (!assign_(&asked.request).ok()) return;
  asked.request.flags |= kReplyOnFd;
  const int fds[] = {sockets->theirs.get()};
  // Whoever calls this has a program that runs, and is to watch it.
  if (!send_now_(generation, asked.request, fds).ok()) {
    give_back_uid_(asked.request.uid);
    return;
  }
  asked_.push_back(std::move(asked));
}

bool SpareBoxes::DropOne() {
  std::unique_lock lock(mutex_);
  if (asked_.empty()) return false;
  const Asked dropped = std::move(asked_.front());
  asked_.pop_front();
  const uint64_t generation = generation_;
  lock.unlock();
  Drop(generation, dropped);
  return true;
}

}  // namespace envicutor::agent::native

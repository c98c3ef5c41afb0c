#include "executor-agent/sandbox/native/spare_boxes.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace envicutor::agent::native {
namespace {

constexpr int kReplyMillis = 30'000;  // the spawner answers in about a millisecond

}  // namespace

Result<UniqueFd> ReceiveBox(const UniqueFd& reply) {
  pollfd wait{reply.get(), POLLIN, 0};
  if (::poll(&wait, 1, kReplyMillis) <= 0) return Unavailable("the spawner does not answer");
  Reply answer;
  iovec data{&answer, sizeof(answer)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = room.data();
  header.msg_controllen = room.size();
  const ssize_t got = ::recvmsg(reply.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  UniqueFd top;
  if (const cmsghdr* part = got >= 0 ? CMSG_FIRSTHDR(&header) : nullptr;
      part != nullptr && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(part), sizeof(number));
    top = UniqueFd(number);
  }
  if (got != static_cast<ssize_t>(sizeof(answer))) return Unavailable("the spawner died");
  answer.what.back() = 0;
  if (answer.error != 0) return ErrnoStatus(answer.error, answer.what.data());
  return top;
}

SpareBoxes::SpareBoxes(SpawnerClient* spawner, size_t keep, Assign assign,
                       GiveBackUid give_back_uid)
    : spawner_(spawner),
      keep_(keep),
      assign_(std::move(assign)),
      give_back_uid_(std::move(give_back_uid)) {}

void SpareBoxes::Drop(Asked asked) {
  Request request;
  request.op = Op::kDropBox;
  request.id = asked.request.id;
  // Fails only when that spawner is gone, and the box with it.
  (void)spawner_->Send(generation_, request, {}, {});
  give_back_uid_(asked.request.uid);
}

void SpareBoxes::Expect(uint64_t generation) {
  if (generation == generation_) return;
  for (const Asked& gone : asked_) give_back_uid_(gone.request.uid);
  asked_.clear();
  generation_ = generation;
}

std::optional<SpareBox> SpareBoxes::Take(uint64_t generation, const Request& size) {
  const std::lock_guard lock(mutex_);
  Expect(generation);
  const auto found = std::find_if(asked_.begin(), asked_.end(), [&](const Asked& asked) {
    return asked.request.disk_bytes == size.disk_bytes && asked.request.inodes == size.inodes;
  });
  if (found == asked_.end()) {
    if (asked_.size() < keep_) return std::nullopt;
    // Sizes that nobody wants any more make room.
    Drop(std::move(asked_.front()));
    asked_.pop_front();
    return std::nullopt;
  }
  Asked asked = std::move(*found);
  asked_.erase(found);
  Result<UniqueFd> top = ReceiveBox(asked.reply);
  if (!top.ok()) {  // whoever makes one says why
    Drop(std::move(asked));
    return std::nullopt;
  }
  return SpareBox{asked.request.id, asked.request.uid, std::move(*top)};
}

void SpareBoxes::Refill(uint64_t generation, const Request& size) {
  const std::lock_guard lock(mutex_);
  Expect(generation);
  if (asked_.size() >= keep_) return;
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) return;
  const UniqueFd theirs(pair[1]);
  Asked asked{size, UniqueFd(pair[0])};
  if (!assign_(&asked.request).ok()) return;
  const int fds[] = {theirs.get()};
  if (!spawner_->Send(generation, asked.request, {}, fds).ok()) {
    give_back_uid_(asked.request.uid);
    return;
  }
  asked_.push_back(std::move(asked));
}

bool SpareBoxes::DropOne() {
  const std::lock_guard lock(mutex_);
  if (asked_.empty()) return false;
  Drop(std::move(asked_.front()));
  asked_.pop_front();
  return true;
}

}  // namespace envicutor::agent::native

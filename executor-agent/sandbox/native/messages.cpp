#include "executor-agent/sandbox/native/messages.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "executor-agent/sandbox/native/protocol.h"

namespace envicutor::agent::native {

ssize_t ReceiveMessage(int socket, void* message, size_t size, int flags, UniqueFd* descriptor) {
  iovec data{message, size};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = room.data();
  header.msg_controllen = room.size();
  ssize_t got = 0;
  while ((got = ::recvmsg(socket, &header, flags | MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {
  }
  if (const cmsghdr* part = got >= 0 ? CMSG_FIRSTHDR(&header) : nullptr;
      part != nullptr && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
    int number = -1;
    std::memcpy(&number, CMSG_DATA(part), sizeof(number));
    *descriptor = UniqueFd(number);
  }
  return got;
}

Result<ReplySockets> MakeReplySockets() {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return ErrnoStatus(errno, "socketpair for the spawner");
  }
  ReplySockets made{UniqueFd(pair[0]), UniqueFd(pair[1])};
  const timeval wait{kReplySeconds, 0};
  if (::setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) != 0) {
    return ErrnoStatus(errno, "set up the spawner's socket");
  }
  return made;
}

Result<UniqueFd> ReceiveReply(int socket) {
  Reply reply;
  UniqueFd descriptor;
  const ssize_t got = ReceiveMessage(socket, &reply, sizeof(reply), 0, &descriptor);
  if (got != static_cast<ssize_t>(sizeof(reply))) {
    return Unavailable(got < 0 ? "the spawner does not answer" : "the spawner died");
  }
  reply.what.back() = 0;
  if (reply.error != 0) {
    return Status(Code::kInternal,
                  std::string(reply.what.data()) + ": " + std::strerror(reply.error));
  }
  return descriptor;
}

}  // namespace envicutor::agent::native

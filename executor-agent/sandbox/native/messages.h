// How messages of protocol.h are received, each with at most one descriptor.
#pragma once

#include <sys/types.h>

#include <cstddef>

#include "common/base/status.h"
#include "common/base/unique_fd.h"

namespace envicutor::agent::native {

// recvmsg of one message of at most `size` bytes; its result, tried again after EINTR. The
// descriptor that came along, or none, goes to *descriptor.
[[nodiscard]] ssize_t ReceiveMessage(int socket, void* message, size_t size, int flags,
                                     UniqueFd* descriptor);

inline constexpr int kReplySeconds = 30;  // the spawner answers in about a millisecond

struct ReplySockets {
  UniqueFd ours;  // a receive here waits for at most kReplySeconds
  UniqueFd theirs;
};
[[nodiscard]] Result<ReplySockets> MakeReplySockets();

// Waits for a Reply on `socket`, which is MakeReplySockets' ours, and gives its descriptor.
// Unavailable: the spawner is dead or deaf. Other errors are the spawner's own: the step and errno.
[[nodiscard]] Result<UniqueFd> ReceiveReply(int socket);

}  // namespace envicutor::agent::native

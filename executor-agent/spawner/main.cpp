// envicutor-spawner: starts boxes for the native sandbox.
//
// Why a process of its own: forking a large agent is slow, and namespaces, mounts and privileges of
// boxes must not be set up between the agent's threads. It is single-threaded, static, allocates
// nothing, lives in a mount namespace of its own (so that its mounts vanish with it) and ends when
// the agent's socket closes; each box's init dies with it. Requests:
// executor-agent/sandbox/native/protocol.h.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor-agent/spawner/spawner.h"

namespace envicutor::agent::native {
namespace {

constexpr int kSocket = 3;  // where the agent put its socket
alignas(Request) char message[sizeof(Request) + kMaxInlinePayload];

void SendReply(int socket, const Failure& failure, int fd) {
  Reply reply;
  reply.error = failure.error;
  if (failure.error != 0) strncpy(reply.what.data(), failure.what, reply.what.size() - 1);
  iovec data{&reply, sizeof(reply)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(part), &fd, sizeof(fd));
  }
  // Fails only when the agent is gone, which the next receive notices.
  (void)sendmsg(socket, &header, MSG_NOSIGNAL);
}

void Serve(const Request& request, const char* payload, const int* fds, size_t fd_count) {
  Failure failure;
  int reply_fd = -1;
  int socket = kSocket;
  switch (request.op) {
    case Op::kHello:
      failure = SetUp(payload, request.payload_size);
      break;
    case Op::kMakeEnvironment:
      failure = MakeEnvironment(request.id, payload, request.payload_size);
      break;
    case Op::kDropEnvironment:
      DropEnvironment(request.id);
      return;
    case Op::kMakeBox:
      if ((request.flags & kReplyOnFd) != 0) {
        // Lost where no descriptor is free: on the main socket the answer would be another call's.
        if (fd_count == 0) return;
        socket = fds[0];
      }
      failure = MakeBox(request, &reply_fd);
      break;
    case Op::kDropBox:
      DropBox(request.id);
      return;
    case Op::kRun:
      StartRun(request, payload, fds, fd_count);
      return;
  }
  SendReply(socket, failure, reply_fd);
  if (reply_fd >= 0) close(reply_fd);
}

// False when the agent is gone.
bool ReceiveAndServe() {
  iovec data{message, sizeof(message)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  const ssize_t got = recvmsg(kSocket, &header, MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  if (got <= 0) return false;

  int fds[kMaxFds];
  size_t fd_count = 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    fd_count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(part), fd_count * sizeof(int));
  }
  const auto* request = reinterpret_cast<const Request*>(message);
  const size_t payload = static_cast<size_t>(got) - sizeof(Request);
  const bool whole = static_cast<size_t>(got) >= sizeof(Request) &&
                     (payload == request->payload_size || (request->flags & kHasPayloadFd) != 0);
  if (whole) {
    Serve(*request, message + sizeof(Request), fds, fd_count);
  } else {
    SendReply(kSocket, {EBADMSG, "request"}, -1);
  }
  for (size_t i = 0; i < fd_count; ++i) close(fds[i]);
  return true;
}

void Reap(int signals) {
  signalfd_siginfo ignored;  // one is all: this signal does not queue
  (void)!read(signals, &ignored, sizeof(ignored));
  while (true) {
    const pid_t pid = waitpid(-1, nullptr, WNOHANG);
    if (pid <= 0) return;
    EndRun(pid);
  }
}

int Main() {
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  sigprocmask(SIG_BLOCK, &mask, nullptr);
  const int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) return 1;
  while (true) {
    pollfd wait[2] = {{kSocket, POLLIN, 0}, {signals, POLLIN, 0}};
    if (poll(wait, 2, -1) < 0 && errno != EINTR) return 1;
    if (wait[1].revents != 0) Reap(signals);
    if (wait[0].revents != 0 && !ReceiveAndServe()) {
      EndAllRuns();
      return 0;
    }
    RefillNetworks();
  }
}

}  // namespace
}  // namespace envicutor::agent::native

int main() {
  // Whatever the agent had open without O_CLOEXEC ends here.
  close_range(4, ~0U, 0);
  prctl(PR_SET_NAME, "env-spawner");
  clearenv();
  return envicutor::agent::native::Main();
}

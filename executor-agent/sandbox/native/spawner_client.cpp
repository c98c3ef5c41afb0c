#include "executor-agent/sandbox/native/spawner_client.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <vector>

#include "common/base/log.h"
#include "executor-agent/sandbox/native/messages.h"
#include "executor-agent/sandbox/native/spawner_image.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace envicutor::agent::native {
namespace {

constexpr int kEndMillis = 5'000;
constexpr int kSpawnerSocket = 3;
constexpr char kGroupName[] = "spawner";

Result<UniqueFd> ImageFile() {
  UniqueFd fd(::memfd_create("envicutor-spawner", MFD_CLOEXEC | MFD_EXEC));
  if (!fd.valid() && errno == EINVAL)
    fd = UniqueFd(::memfd_create("envicutor-spawner", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "memfd_create for the spawner");
  std::string_view image = SpawnerImage();
  while (!image.empty()) {
    const ssize_t wrote = ::write(fd.get(), image.data(), image.size());
    if (wrote <= 0) return ErrnoStatus(errno, "write the spawner's program");
    image.remove_prefix(static_cast<size_t>(wrote));
  }
  return fd;
}

// posix_spawn, so that no thread's locks or buffers are copied.
Result<pid_t> SpawnProgram(int program, int socket) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  ::posix_spawn_file_actions_adddup2(&actions, socket, kSpawnerSocket);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  // A session of its own: Ctrl-C on the agent's terminal is the agent's to handle.
  ::posix_spawnattr_setflags(
      &attributes,
      static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID));
  const std::string path = "/proc/self/fd/" + std::to_string(program);
  std::string name = "envicutor-spawner";
  std::array<char*, 2> argv{name.data(), nullptr};
  std::array<char*, 1> envp{nullptr};
  pid_t pid = -1;
  const int error =
      ::posix_spawn(&pid, path.c_str(), &actions, &attributes, argv.data(), envp.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return ErrnoStatus(error, "start the spawner");
  return pid;
}

// Until the spawner has read some of what is on the way, or has ended. False after `deadline`.
bool AwaitRoom(int socket, std::chrono::steady_clock::time_point deadline) {
  constexpr int kLookMillis = 50;  // without a descriptor
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  if (left.count() <= 0) return false;
  const auto most = static_cast<int>(left.count());
  pollfd wait{socket, POLLOUT, 0};
  (void)::poll(&wait, 1, socket < 0 ? std::min(most, kLookMillis) : most);
  return true;
}

}  // namespace

SpawnerClient::SpawnerClient(std::string hello, const cgroup::Group* parent)
    : hello_(std::move(hello)), parent_(parent) {}

SpawnerClient::~SpawnerClient() {
  const std::scoped_lock lock(calls_, mutex_);
  End();
}

void SpawnerClient::End() {
  broken_ = false;
  socket_.reset();  // it exits when its socket closes
  const pid_t pid = pid_.exchange(-1);
  if (pid > 0) {
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    pollfd wait{pidfd.get(), POLLIN, 0};
    if (!pidfd.valid() || ::poll(&wait, 1, kEndMillis) <= 0) ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  if (parent_ != nullptr) {
    const Status gone = cgroup::Destroy(*parent_, kGroupName, kEndMillis);
    if (!gone.ok()) log::Warn("the spawner's control group stays", {{"error", gone.ToString()}});
  }
}

Status SpawnerClient::Start() {
  End();
  ENVICUTOR_ASSIGN(ReplySockets sockets, MakeReplySockets());
  socket_ = std::move(sockets.ours);
  // Not 3 itself: dup2 onto the same number would leave O_CLOEXEC set.
  UniqueFd theirs(::fcntl(sockets.theirs.get(), F_DUPFD_CLOEXEC, 10));
  sockets.theirs.reset();
  if (!theirs.valid()) return ErrnoStatus(errno, "socketpair for the spawner");
  ENVICUTOR_ASSIGN(UniqueFd image, ImageFile());
  ENVICUTOR_ASSIGN(UniqueFd program, [&]() -> Result<UniqueFd> {
    // A file that is open for writing cannot be executed.
    const std::string path = "/proc/self/fd/" + std::to_string(image.get());
    const UniqueFd read_only(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    UniqueFd high(read_only.valid() ? ::fcntl(read_only.get(), F_DUPFD_CLOEXEC, 10) : -1);
    if (!high.valid()) return ErrnoStatus(errno, "open the spawner's program");
    return high;
  }());
  image.reset();
  ENVICUTOR_ASSIGN(const pid_t pid, SpawnProgram(program.get(), theirs.get()));
  pid_ = pid;
  theirs.reset();
  if (parent_ != nullptr) {
    ENVICUTOR_ASSIGN(cgroup::Group group, parent_->MakeChild(kGroupName));
    ENVICUTOR_RETURN_IF_ERROR(group.Write(cgroup::kProcs, std::to_string(pid)));
  }
  Request hello;
  hello.op = Op::kHello;
  hello.payload_size = static_cast<uint32_t>(hello_.size());
  Status answered = SendOne(hello, hello_, {});
  if (answered.ok()) answered = ReceiveReply(socket_.get()).status();
  if (!answered.ok()) return answered.WithContext("the spawner cannot start");
  ++generation_;
  return OkStatus();
}

Result<uint64_t> SpawnerClient::EnsureRunning() {
  {
    const std::lock_guard lock(mutex_);
    if (socket_.valid() && !broken_) return generation_;
  }
  const std::scoped_lock lock(calls_, mutex_);
  if (socket_.valid() && !broken_) return generation_;
  const Status started = Start();
  if (!started.ok()) {
    End();
    return started;
  }
  return generation_;
}

Result<int> SpawnerClient::Deliver(uint64_t generation, const Request& request,
                                   std::string_view payload, std::span<const int> fds) {
  std::optional<std::chrono::steady_clock::time_point> deadline;
  for (;;) {
    UniqueFd full;
    {
      const std::lock_guard lock(mutex_);
      if (!socket_.valid() || generation != generation_)
        return Unavailable("the spawner was restarted");
      const Status sent = SendOne(request, payload, fds);
      if (sent.ok()) return socket_.get();
      if (sent.code() != Code::kResourceExhausted) return sent;
      // Of our own: whoever ends the spawner meanwhile closes the other.
      full = UniqueFd(::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 0));
    }
    const auto now = std::chrono::steady_clock::now();
    if (!deadline) deadline = now + std::chrono::seconds(kReplySeconds);
    if (AwaitRoom(full.get(), *deadline)) continue;
    const std::lock_guard lock(mutex_);
    if (generation == generation_) broken_ = true;
    return Unavailable("the spawner does not read");
  }
}

Status SpawnerClient::Send(uint64_t generation, const Request& request, std::string_view payload,
                           std::span<const int> fds) {
  return Sent(generation, Deliver(generation, request, payload, fds).status());
}

Status SpawnerClient::SendNow(uint64_t generation, const Request& request, std::string_view payload,
                              std::span<const int> fds) {
  Status sent;
  {
    const std::lock_guard lock(mutex_);
    if (!socket_.valid() || generation != generation_)
      return Unavailable("the spawner was restarted");
    sent = SendOne(request, payload, fds);
  }
  return Sent(generation, sent);
}

// Ends the spawner where it does not serve any more.
Status SpawnerClient::Sent(uint64_t generation, const Status& sent) {
  if (sent.ok()) return sent;
  {
    const std::lock_guard lock(mutex_);
    if (!broken_ || generation != generation_) return sent;
  }
  const std::scoped_lock lock(calls_, mutex_);
  if (generation == generation_) EndIfBroken(sent);
  return sent;
}

Result<UniqueFd> SpawnerClient::Call(uint64_t generation, const Request& request,
                                     std::string_view payload, std::span<const int> fds) {
  const std::lock_guard call(calls_);
  const Result<int> socket = Deliver(generation, request, payload, fds);
  Result<UniqueFd> result = socket.ok() ? ReceiveReply(*socket) : Result<UniqueFd>(socket.status());
  if (result.status().code() == Code::kUnavailable) {  // dead or deaf
    const std::lock_guard lock(mutex_);
    if (socket.ok()) broken_ = true;
    if (generation == generation_) EndIfBroken(result.status());
  }
  return result;
}

void SpawnerClient::EndIfBroken(const Status& why) {
  if (!broken_) return;
  log::Error("the spawner is gone", {{"error", why.message()}});
  const pid_t pid = pid_.load();
  if (pid > 0) ::kill(pid, SIGKILL);  // not reaped before End: the number is still its own
  End();
}

Status SpawnerClient::SendOne(const Request& request, std::string_view payload,
                              std::span<const int> fds) {
  std::array<iovec, 2> parts{iovec{const_cast<Request*>(&request), sizeof(request)},
                             iovec{const_cast<char*>(payload.data()), payload.size()}};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
  msghdr header{};
  header.msg_iov = parts.data();
  header.msg_iovlen = parts.size();
  if (!fds.empty()) {
    CHECK(fds.size() <= kMaxFds, "too many descriptors for the spawner");
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(part), fds.data(), sizeof(int) * fds.size());
  }
  while (::sendmsg(socket_.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return ResourceExhausted("the spawner does not read now");
    broken_ = true;
    return Unavailable(std::string("send to the spawner: ") + std::strerror(errno));
  }
  return OkStatus();
}

}  // namespace envicutor::agent::native

// The agent's side of the spawner: starts it, talks to it, starts it again when it died.
#pragma once

#include <atomic>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/base/unique_fd.h"
#include "executor-agent/cgroup/group.h"
#include "executor-agent/sandbox/native/protocol.h"

namespace envicutor::agent::native {

// Thread-safe; one Call at a time is on the way, and no Send waits for its reply. Who waits because
// the spawner does not read holds up nobody else.
class SpawnerClient {
 public:
  // `hello` is the payload of kHello. `parent`: where the spawner gets a group of its own
  // ("spawner"), so that who destroys the parent's children finds it too; nullptr without control
  // groups. Outlives this.
  SpawnerClient(std::string hello, const cgroup::Group* parent);
  ~SpawnerClient();  // ends the spawner, and with it every box
  SpawnerClient(const SpawnerClient&) = delete;
  SpawnerClient& operator=(const SpawnerClient&) = delete;

  // Starts the spawner unless one is running. Which one it is, counted from 1, is the result: its
  // environments and boxes are gone when a later call gives another number.
  [[nodiscard]] Result<uint64_t> EnsureRunning();

  // Sends a request that has no reply, if spawner `generation` still serves. Unavailable: it does
  // not serve any more and never sees the request. While it does not read, this waits for it, for
  // at most kReplySeconds; then it is ended.
  [[nodiscard]] Status Send(uint64_t generation, const Request& request, std::string_view payload,
                            std::span<const int> fds);
  // The same without the wait. ResourceExhausted: it does not read now and never sees the request.
  [[nodiscard]] Status SendNow(uint64_t generation, const Request& request,
                               std::string_view payload, std::span<const int> fds);
  // Does the request and gives the descriptor of its reply, if spawner `generation` still serves.
  // Unavailable: it does not serve any more. Other errors are the spawner's own: the step and
  // errno.
  [[nodiscard]] Result<UniqueFd> Call(uint64_t generation, const Request& request,
                                      std::string_view payload, std::span<const int> fds);
  [[nodiscard]] pid_t pid() const { return pid_.load(); }  // -1: none

 private:
  // Both mutexes held:
  [[nodiscard]] Status Start();
  void EndIfBroken(const Status& why);
  void End();
  // None held. Gives the socket that it went to; where that failed EndIfBroken is to follow.
  [[nodiscard]] Result<int> Deliver(uint64_t generation, const Request& request,
                                    std::string_view payload, std::span<const int> fds);
  Status Sent(uint64_t generation, const Status& sent);
  // mutex_ held, so this never waits. ResourceExhausted: there is no room now.
  [[nodiscard]] Status SendOne(const Request& request, std::string_view payload,
                               std::span<const int> fds);

  const std::string hello_;
  const cgroup::Group* const parent_;
  // Locked in this order. calls_ is held from a Call's request to its reply, so that the socket
  // stays open meanwhile; mutex_ guards the rest, and is not held while a reply is waited for.
  std::mutex calls_;
  std::mutex mutex_;
  UniqueFd socket_;
  std::atomic<pid_t> pid_{-1};
  uint64_t generation_ = 0;
  bool broken_ = false;  // the last exchange found it dead or deaf
};

}  // namespace envicutor::agent::native

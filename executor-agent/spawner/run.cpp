// Starting and ending of runs. A box's init is a process that shares the spawner's memory
// (CLONE_VM) on a stack of its own: copying even a small address space, and taking it apart again,
// was a tenth of what a run costs.
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "executor-agent/spawner/spawner.h"
#include "executor-agent/spawner/sys.h"

namespace envicutor::agent::native {
namespace {

constexpr size_t kMaxRuns = 1024;
// Zero, which is free, and mostly never touched: no constructor, and the first free one is taken.
alignas(Run) char memory[kMaxRuns * sizeof(Run)];

Run* FindRun(pid_t pid) {
  auto* const runs = reinterpret_cast<Run*>(memory);
  for (size_t i = 0; i < kMaxRuns; ++i) {
    if (runs[i].pid == pid) return &runs[i];
  }
  return nullptr;
}

// `count` NUL-terminated strings of [*text, end), to `*at`. False: there are not as many.
bool TakeStrings(size_t count, char** text, const char* end, char*** at) {
  for (size_t i = 0; i < count; ++i) {
    const size_t length = strnlen(*text, static_cast<size_t>(end - *text));
    if (*text + length >= end) return false;
    *(*at)++ = *text;
    *text += length + 1;
  }
  return true;
}

// Fills `strings` from the payload.
bool SplitStrings(Run* run, char* payload) {
  const Request& request = run->request;
  const size_t total = static_cast<size_t>(request.argc) + request.envc + request.direct_paths +
                       request.direct_words;
  if (request.argc == 0 || total > kMaxStrings + kMaxDirectStrings) return false;
  if (request.argc > kMaxStrings) return false;  // they are there twice with kDirectArguments
  const char* const end = payload + request.payload_size;
  char** at = run->strings;
  run->argv = at;
  if (!TakeStrings(request.argc, &payload, end, &at)) return false;
  *at++ = nullptr;
  run->envp = at;
  if (!TakeStrings(request.envc, &payload, end, &at)) return false;
  *at++ = nullptr;
  run->direct_paths = at;
  if (!TakeStrings(request.direct_paths, &payload, end, &at)) return false;
  *at++ = nullptr;
  run->direct_argv = at;
  if (!TakeStrings(request.direct_words, &payload, end, &at)) return false;
  if ((request.flags & kDirectArguments) != 0) {
    for (size_t i = kShellWords; i < request.argc; ++i) *at++ = run->argv[i];
  }
  *at = nullptr;
  return payload == end;
}

// The arguments into the run's own memory: the next request overwrites where they are now.
Failure TakeArguments(Run* run, const char* payload) {
  const Request& request = run->request;
  char* text = run->payload;
  if ((request.flags & kHasPayloadFd) != 0) {
    const int fd = run->fds[kFirstOptionalFd + ((request.flags & kHasProgramFd) != 0 ? 1 : 0)];
    if (request.payload_size == 0 || request.payload_size > kMaxPayload) return {EINVAL, "payload"};
    void* mapped = mmap(nullptr, request.payload_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED) return LastError("map the arguments");
    run->mapped = mapped;
    text = static_cast<char*>(mapped);
  } else {
    if (request.payload_size > sizeof(run->payload)) return {EINVAL, "payload"};
    memcpy(text, payload, request.payload_size);
  }
  return SplitStrings(run, text) ? Failure{} : Failure{EINVAL, "arguments"};
}

void Release(Run* run) {
  if (run->mapped != nullptr) munmap(run->mapped, run->request.payload_size);
  run->mapped = nullptr;
  run->pid = 0;
  GiveBackNetwork(run->network);
}

Failure Start(const Request& request, const char* payload, const int* fds, size_t fd_count) {
  size_t wanted = kFirstOptionalFd;
  if ((request.flags & kHasProgramFd) != 0) ++wanted;
  if ((request.flags & kHasPayloadFd) != 0) ++wanted;
  if (fd_count != wanted) return {EINVAL, "descriptors of the run"};
  Run* const run = FindRun(0);
  if (run == nullptr) return {EAGAIN, "too many runs"};
  run->request = request;
  memcpy(run->fds, fds, fd_count * sizeof(int));
  run->program_fd = (request.flags & kHasProgramFd) != 0 ? fds[kFirstOptionalFd] : -1;
  run->environment_fd = EnvironmentFd(request.environment);
  BoxPath(run->box, request.id);
  if (run->environment_fd < 0) return {ENOENT, "environment of the run"};
  Failure failure = TakeNetwork(&run->network);
  if (failure.error != 0) return failure;
  failure = TakeArguments(run, payload);
  if (failure.error != 0) {
    Release(run);
    return failure;
  }

  clone_args args{};
  args.flags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
  args.exit_signal = SIGCHLD;
  if ((request.flags & kNoCgroup) == 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<__u64>(fds[kCgroupFd]);
  }
  // Whoever is killed for its memory takes all with it that share it. Only an init that cannot be
  // chosen, or has no memory limit to exceed, may.
  if (ExemptFromOomKilling() || (request.flags & kMemoryLimited) == 0) args.flags |= CLONE_VM;
  const long child =
      CloneOnto(&args, run->init_stack, sizeof(run->init_stack), InitMain, run, FilterKey());
  if (child < 0) {
    Release(run);
    return {static_cast<int>(-child), "clone3"};
  }
  run->pid = static_cast<pid_t>(child);
  return {};
}

}  // namespace

void StartRun(const Request& request, const char* payload, const int* fds, size_t fd_count) {
  const Failure failure = Start(request, payload, fds, fd_count);
  if (failure.error != 0 && fd_count > kControlFd) {
    SendEvent(fds[kControlFd], EventKind::kNotStarted, failure.error, 0, failure.what);
  }
}

void EndRun(pid_t pid) {
  Run* const run = FindRun(pid);
  if (run != nullptr) Release(run);
}

void EndAllRuns() {
  auto* const runs = reinterpret_cast<Run*>(memory);
  for (size_t i = 0; i < kMaxRuns; ++i) {
    if (runs[i].pid != 0) kill(runs[i].pid, SIGKILL);
  }
  for (size_t i = 0; i < kMaxRuns; ++i) {
    if (runs[i].pid == 0) continue;
    while (waitpid(runs[i].pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

}  // namespace envicutor::agent::native

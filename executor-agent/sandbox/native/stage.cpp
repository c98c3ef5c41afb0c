// Setting up of a stage (stage.h).
#include "executor-agent/sandbox/native/stage.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "common/base/log.h"

namespace envicutor::agent::native {
namespace {

using api::Limit;

// Below this the box's init and an execve do not fit.
constexpr int64_t kMinMemory = 1 << 20;
// What the kernel takes at most; a limit above is no limit.
constexpr int64_t kMaxPids = 4'000'000;
constexpr int64_t kMaxOpenFiles = 1 << 20;
constexpr int64_t kMaxMillis = int64_t{366} * 24 * 3600 * 1000;

int64_t UsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? std::max(CPU_COUNT(&set), 1) : 1;
}

Status Append(const std::vector<std::string>& strings, std::string* payload) {
  for (const std::string& text : strings) {
    if (text.find('\0') != std::string::npos)
      return InvalidArgument("an argument contains a NUL byte");
    payload->append(text);
    payload->push_back('\0');
  }
  return OkStatus();
}

size_t Strings(const DirectStart& direct) {
  return direct.paths.size() + direct.words.size() + direct.env.size();
}

Result<UniqueFd> PayloadFile(const std::string& payload) {
  UniqueFd fd(::memfd_create("arguments", MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "memfd_create");
  size_t done = 0;
  while (done < payload.size()) {
    const ssize_t wrote = ::write(fd.get(), payload.data() + done, payload.size() - done);
    if (wrote <= 0) return ErrnoStatus(errno, "write the arguments");
    done += static_cast<size_t>(wrote);
  }
  return fd;
}

}  // namespace

Stage::Stage(const StageBox& box, const StageSpec& spec, int program_fd, UniqueFd stdin_file)
    : box_(box), spec_(spec), program_fd_(program_fd), stdin_file_(std::move(stdin_file)) {}

Stage::~Stage() {
  box_.engine->cpus().GiveBack(cpu_);
  if (!group_.group.valid()) return;
  const bool ended = exit_nanos_ && empty_ && outcome_.killed == Killed::kNo;
  box_.engine->groups()->GiveBack(std::move(group_), ended);
}

Status Stage::Start() {
  if (spec_.argv.empty()) return InvalidArgument("there is no program to run");
  if (spec_.argv.size() + spec_.env.size() > kMaxStrings)
    return InvalidArgument("argument list too long");
  if (box_.engine->groups() != nullptr) {
    ENVICUTOR_ASSIGN(group_, box_.engine->groups()->Take());
    ENVICUTOR_RETURN_IF_ERROR(SetLimits());
  }
  budget_.cpu_micros =
      std::min(std::max(Value(Limit::kCpuTime), Value(Limit::kExtraTime)), kMaxMillis) * 1000;
  budget_.extra = Value(Limit::kExtraTime) > Value(Limit::kCpuTime);
  budget_.wall_nanos = std::min(Value(Limit::kWallTime), kMaxMillis) * 1'000'000;
  cpu_ = box_.engine->cpus().Take();
  budget_.parallel = cpu_ >= 0 ? 1 : std::min(UsableCpus(), Value(Limit::kMaxProcesses));
  ENVICUTOR_RETURN_IF_ERROR(MakeStreams());
  return AskSpawner();
}

Status Stage::SetLimits() {
  const cgroup::Group& group = group_.group;
  if (box_.engine->has_memory()) {
    const int64_t bytes = std::max(Value(Limit::kMemory), kMinMemory);
    ENVICUTOR_RETURN_IF_ERROR(group.Write(cgroup::kMemoryMax, std::to_string(bytes)));
  }
  if (box_.engine->has_pids()) {
    // One more: the box's init.
    const int64_t count = std::clamp<int64_t>(Value(Limit::kMaxProcesses), 1, kMaxPids) + 1;
    ENVICUTOR_RETURN_IF_ERROR(group.Write(cgroup::kPidsMax, std::to_string(count)));
  }
  return OkStatus();
}

Status Stage::MakeStreams() {
  if (!stdin_file_.valid()) {
    ENVICUTOR_RETURN_IF_ERROR(stdin_.Open(spec_.stdin_data, box_.uid, &child_stdin_));
  }
  const auto max_stdout = static_cast<size_t>(std::max<int64_t>(Value(Limit::kMaxStdout), 0));
  const auto max_stderr = static_cast<size_t>(std::max<int64_t>(Value(Limit::kMaxStderr), 0));
  ENVICUTOR_RETURN_IF_ERROR(stdout_.Open(max_stdout, box_.uid, &child_stdout_));
  if (!spec_.merge_stderr) {
    ENVICUTOR_RETURN_IF_ERROR(stderr_.Open(max_stderr, box_.uid, &child_stderr_));
  }
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) {
    return ErrnoStatus(errno, "socketpair for the box's init");
  }
  control_ = UniqueFd(pair[0]);
  child_control_ = UniqueFd(pair[1]);
  return OkStatus();
}

Status Stage::AskSpawner() {
  Request request;
  request.op = Op::kRun;
  request.id = box_.id;
  request.environment = box_.environment;
  request.uid = box_.uid;
  request.cpu = cpu_;
  request.max_open_files =
      static_cast<uint64_t>(std::min(Value(Limit::kMaxOpenFiles), kMaxOpenFiles));
  request.max_file_size = static_cast<uint64_t>(Value(Limit::kMaxFileSize));
  request.stack = static_cast<uint64_t>(Value(Limit::kStack));
  request.max_processes = static_cast<uint64_t>(Value(Limit::kMaxProcesses));
  request.argc = static_cast<uint32_t>(spec_.argv.size());
  request.envc = static_cast<uint32_t>(spec_.env.size());
  if (!box_.engine->has_pids()) request.flags |= kLimitNproc;
  if (box_.engine->has_memory()) request.flags |= kMemoryLimited;

  std::string payload;
  ENVICUTOR_RETURN_IF_ERROR(Append(spec_.argv, &payload));
  ENVICUTOR_RETURN_IF_ERROR(Append(spec_.env, &payload));
  if (spec_.direct && Strings(*spec_.direct) <= kMaxDirectStrings) {
    const DirectStart& direct = *spec_.direct;
    request.envc += static_cast<uint32_t>(direct.env.size());
    request.direct_paths = static_cast<uint32_t>(direct.paths.size());
    request.direct_words = static_cast<uint32_t>(direct.words.size());
    if (direct.with_arguments) request.flags |= kDirectArguments;
    for (const auto* strings : {&direct.env, &direct.paths, &direct.words})
      ENVICUTOR_RETURN_IF_ERROR(Append(*strings, &payload));
  }
  if (payload.size() > kMaxPayload) return InvalidArgument("argument list too long");
  request.payload_size = static_cast<uint32_t>(payload.size());

  std::vector<int> fds(kFirstOptionalFd);
  fds[kCgroupFd] = group_.group.valid() ? group_.group.fd() : child_control_.get();
  fds[kStdinFd] = stdin_file_.valid() ? stdin_file_.get() : child_stdin_.get();
  fds[kStdoutFd] = child_stdout_.get();
  fds[kStderrFd] = spec_.merge_stderr ? child_stdout_.get() : child_stderr_.get();
  fds[kControlFd] = child_control_.get();
  if (!group_.group.valid()) request.flags |= kNoCgroup;
  if (program_fd_ >= 0) {
    request.flags |= kHasProgramFd;
    fds.push_back(program_fd_);
  }
  UniqueFd file;
  if (payload.size() > kMaxInlinePayload) {
    ENVICUTOR_ASSIGN(file, PayloadFile(payload));
    request.flags |= kHasPayloadFd;
    fds.push_back(file.get());
    payload.clear();
  }
  ENVICUTOR_RETURN_IF_ERROR(box_.engine->spawner().Send(box_.generation, request, payload, fds));
  child_stdin_.reset();
  child_stdout_.reset();
  child_stderr_.reset();
  child_control_.reset();
  return OkStatus();
}

StageOutcome Stage::NotExecutable(const Status& why) const {
  constexpr int kNotExecutable = 126;  // as a shell has it
  StageOutcome outcome;
  outcome.exit_code = kNotExecutable;
  outcome.stderr_data = "envicutor: cannot execute: " + why.message() + "\n";
  outcome.stderr_bytes = static_cast<int64_t>(outcome.stderr_data.size());
  return outcome;
}

}  // namespace envicutor::agent::native

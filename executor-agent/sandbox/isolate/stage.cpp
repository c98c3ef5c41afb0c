// Setting up of a stage (stage.h).
#include "executor-agent/sandbox/isolate/stage.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "executor-agent/sandbox/waiting.h"

namespace envicutor::agent::isolate {
namespace {

using api::Limit;

constexpr size_t kMaxStrings = 100'000;
constexpr int64_t kKiB = 1024;
// Below this an execve does not fit.
constexpr int64_t kMinMemory = 1 << 20;
constexpr int64_t kMaxPids = 4'000'000;
constexpr int64_t kMaxOpenFiles = 1 << 20;
// isolate keeps milliseconds in an int.
constexpr int64_t kMaxMillis = 2'000'000'000;
// isolate's own deadlines come after ours: they hold when we do not.
constexpr int64_t kBackstopMillis = 1000;
constexpr char kLibcVariable[] = "LIBC_FATAL_STDERR_";  // isolate sets it if it is not told not to

int64_t UsableCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? std::max(CPU_COUNT(&set), 1) : 1;
}

// Zero is "unlimited" to isolate, and its numbers are ints.
std::string KiB(int64_t bytes) {
  const int64_t rounded = bytes / kKiB + (bytes % kKiB != 0 ? 1 : 0);
  return std::to_string(std::clamp<int64_t>(rounded, 1, INT_MAX));
}

std::string Seconds(int64_t millis) {
  const std::string rest = std::to_string(1000 + millis % 1000).substr(1);
  return std::to_string(millis / 1000) + "." + rest;
}

}  // namespace

StageOutcome SandboxError(std::string error) {
  StageOutcome outcome;
  outcome.killed = StageOutcome::Killed::kSandboxError;
  outcome.error = std::move(error);
  return outcome;
}

StageOutcome NotExecutable(const Status& why) {
  constexpr int kNotExecutable = 126;
  StageOutcome outcome;
  outcome.exit_code = kNotExecutable;
  outcome.stderr_data = "envicutor: cannot execute: " + why.message() + "\n";
  outcome.stderr_bytes = static_cast<int64_t>(outcome.stderr_data.size());
  return outcome;
}

Stage::Stage(StageBox box, const StageSpec& spec, cgroup::Group group, UniqueFd stdin_file)
    : box_(std::move(box)),
      spec_(spec),
      group_(std::move(group)),
      stdin_file_(std::move(stdin_file)) {}

Stage::~Stage() { box_.engine->cpus().GiveBack(cpu_); }

Status Stage::Start() {
  if (spec_.argv.empty()) return InvalidArgument("there is no program to run");
  if (spec_.argv.size() + spec_.env.size() > kMaxStrings)
    return InvalidArgument("argument list too long");
  budget_.cpu_micros =
      std::min(std::max(Value(Limit::kCpuTime), Value(Limit::kExtraTime)), kMaxMillis) * 1000;
  budget_.extra = Value(Limit::kExtraTime) > Value(Limit::kCpuTime);
  budget_.wall_nanos = std::min(Value(Limit::kWallTime), kMaxMillis) * 1'000'000;
  cpu_ = box_.engine->cpus().Take();
  budget_.parallel = cpu_ >= 0 ? 1 : std::min(UsableCpus(), Value(Limit::kMaxProcesses));
  if (box_.engine->has_pids()) {
    // Exact, and not shared with a stranger of the same user id, as --processes is.
    const int64_t count = std::clamp<int64_t>(Value(Limit::kMaxProcesses), 1, kMaxPids);
    ENVICUTOR_RETURN_IF_ERROR(group_.Write(cgroup::kPidsMax, std::to_string(count)));
  }
  events_ = UniqueFd(::openat(group_.fd(), cgroup::kEvents, O_RDONLY | O_CLOEXEC));
  if (!events_.valid()) return ErrnoStatus(errno, cgroup::kEvents);

  const unsigned uid = box_.engine->Uid(box_.id);
  UniqueFd child_in = std::move(stdin_file_);
  UniqueFd child_out;
  UniqueFd child_err;
  if (!child_in.valid()) ENVICUTOR_RETURN_IF_ERROR(stdin_.Open(spec_.stdin_data, uid, &child_in));
  const auto max_out = static_cast<size_t>(std::max<int64_t>(Value(Limit::kMaxStdout), 0));
  const auto max_err = static_cast<size_t>(std::max<int64_t>(Value(Limit::kMaxStderr), 0));
  ENVICUTOR_RETURN_IF_ERROR(stdout_.Open(max_out, uid, &child_out));
  if (!spec_.merge_stderr) ENVICUTOR_RETURN_IF_ERROR(stderr_.Open(max_err, uid, &child_err));

  const std::string meta = "meta/" + std::to_string(box_.id);
  if (::unlinkat(box_.engine->Hub(), meta.c_str(), 0) != 0 && errno != ENOENT)
    return ErrnoStatus(errno, "remove an old meta file");
  std::vector<std::string> env;
  const std::vector<std::string> args = Arguments(&env);
  Freeze();
  begin_nanos_ = NowNanos();
  const int error_end = spec_.merge_stderr ? child_out.get() : child_err.get();
  ENVICUTOR_ASSIGN(pidfd_, box_.engine->launcher().Spawn(
                               args, env, {child_in.get(), child_out.get(), error_end}, cpu_));
  return OkStatus();
}

std::vector<std::string> Stage::Arguments(std::vector<std::string>* env) const {
  const Engine& engine = *box_.engine;
  const std::string id = std::to_string(box_.id);
  const std::string disk = engine.Path("disks/" + id);
  const int64_t cpu = std::min(budget_.cpu_micros / 1000 + kBackstopMillis, kMaxMillis);
  const int64_t wall = std::min(budget_.wall_nanos / 1'000'000 + kBackstopMillis, kMaxMillis);
  std::vector<std::string> args = {
      engine.binary(),
      "--cg",
      "--silent",
      "--box-id=" + id,
      "--meta=" + engine.Path("meta/" + id),
      "--no-default-dirs",
      "--dir=/box=" + disk + "/box:rw",
      "--dir=/tmp=" + disk + "/tmp:rw",
      "--dir=/dev=" + engine.Path("dev") + ":dev",
      "--dir=/dev/shm=" + disk + "/shm:rw",
      "--dir=/proc=proc:fs",
      "--dir=/etc=" + engine.Path("etc"),
      "--dir=/bin=" + engine.Path("bin/" + id),
      "--dir=/usr/bin=" + engine.Path("usrbin/" + id),
      "--dir=/nix/store=" + box_.view_dir + ":norec",
      "--cg-mem=" + KiB(std::max(Value(Limit::kMemory), kMinMemory)),
      "--processes=" +
          std::to_string(std::clamp<int64_t>(Value(Limit::kMaxProcesses), 1, kMaxPids)),
      "--open-files=" +
          std::to_string(std::clamp<int64_t>(Value(Limit::kMaxOpenFiles), 1, kMaxOpenFiles)),
      "--fsize=" + KiB(Value(Limit::kMaxFileSize)),
      "--stack=" + KiB(Value(Limit::kStack)),
      "--time=" + Seconds(cpu),
      "--wall-time=" + Seconds(wall)};
  if (box_.extract) args.push_back("--dir=/envicutor=" + engine.Path("extract"));
  AddEnvironment(&args, env);
  args.emplace_back("--run");
  args.emplace_back("--");
  args.insert(args.end(), spec_.argv.begin(), spec_.argv.end());
  return args;
}

// isolate runs as root and gets no variable of the user's with a value: they are arguments. An
// empty value means "unset" there; such a variable can only be inherited.
void Stage::AddEnvironment(std::vector<std::string>* args, std::vector<std::string>* env) const {
  args->push_back(std::string("--env=") + kLibcVariable + "=");
  for (const std::string& variable : spec_.env) {
    const size_t equals = variable.find('=');
    if (equals == std::string::npos || equals == 0) continue;  // no variable
    const bool empty = equals + 1 == variable.size();
    args->push_back("--env=" + (empty ? variable.substr(0, equals) : variable));
    if (empty) env->push_back(variable);
  }
}

}  // namespace envicutor::agent::isolate

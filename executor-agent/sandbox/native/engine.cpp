#include "executor-agent/sandbox/native/engine.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "common/base/encoding.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "executor-agent/sandbox/native/seccomp_filter.h"
#include "executor-agent/sandbox/shared.h"

namespace envicutor::agent::native {
namespace {

constexpr int kMaxSlots = 256;
constexpr size_t kMaxSpareBoxes = 8;
constexpr size_t kKeptEnvironments = kMaxEnvironments / 2;

unsigned UidCount(const SandboxOptions& options) {
  return 4 * static_cast<unsigned>(options.slots);
}

}  // namespace

Result<std::shared_ptr<Engine>> Engine::Make(const SandboxOptions& options) {
  if (options.slots < 1 || options.slots > kMaxSlots) {
    return InvalidArgument("slots must be between 1 and " + std::to_string(kMaxSlots));
  }
  if (::geteuid() != 0) return FailedPrecondition("the native sandbox needs root (CAP_SYS_ADMIN)");
  // A program that closes its stdin must not end us.
  ::signal(SIGPIPE, SIG_IGN);

  std::shared_ptr<Engine> engine(new Engine());
  engine->options_ = options;
  ENVICUTOR_ASSIGN(engine->lock_, LockStateDir(options.state_dir));
  const std::string hub = options.state_dir + "/boxes";
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(hub, 0700));
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(hub.c_str(), nullptr), ::free);
  if (real == nullptr) return ErrnoStatus(errno, hub);

  engine->delegation_ = cgroup::Delegate(GroupId(real.get()), !options.allow_degraded);
  const cgroup::Delegation& delegation = engine->delegation_;
  const bool complete = delegation.memory && delegation.pids;
  if (!complete && !options.allow_degraded) {
    return FailedPrecondition(
        "the sandbox needs cgroup v2 with the memory and pids controllers: " + delegation.missing +
        " (--allow-degraded runs with approximate limits)");
  }
  if (!complete) log::Warn("sandbox is degraded", {{"missing", delegation.missing}});

  engine->cpus_ = std::make_unique<CpuSlots>(options.pin_cpus, options.slots);
  uint64_t key = 0;
  if (::getrandom(&key, sizeof(key), 0) != static_cast<ssize_t>(sizeof(key)))
    return ErrnoStatus(errno, "getrandom");
  ENVICUTOR_ASSIGN(const std::vector<sock_filter> filter,
                   CompileSeccompFilter(engine->cpus_->pins(), FilterFor::kSpawner, key));
  std::string hello = real.get();
  hello += '\0';
  hello.append(reinterpret_cast<const char*>(&key), sizeof(key));
  hello.append(reinterpret_cast<const char*>(filter.data()), filter.size() * sizeof(sock_filter));
  engine->spawner_ = std::make_unique<SpawnerClient>(
      std::move(hello), delegation.boxes.valid() ? &delegation.boxes : nullptr);
  const Result<uint64_t> running = engine->spawner_->EnsureRunning();
  if (!running.ok()) return running.status();
  Engine* const self = engine.get();
  engine->spares_ = std::make_unique<SpareBoxes>(
      [self](uint64_t generation, const Request& request, std::span<const int> fds) {
        return self->spawner_->Send(generation, request, {}, fds);
      },
      [self](uint64_t generation, const Request& request, std::span<const int> fds) {
        return self->spawner_->SendNow(generation, request, {}, fds);
      },
      std::min(static_cast<size_t>(options.slots), kMaxSpareBoxes),
      [self](Request* request) {
        ENVICUTOR_ASSIGN(request->uid, self->TakeUid());
        request->id = self->NextBoxId();
        return OkStatus();
      },
      [self](unsigned uid) { self->GiveBackUid(uid); });

  if (delegation.boxes.valid()) {
    engine->groups_ = std::make_unique<cgroup::GroupPool>(
        delegation.boxes, static_cast<size_t>(options.slots) + 1, delegation.memory);
  }
  engine->extractor_path_ = options.extractor_binary.empty() ? BesideOwnBinary("envicutor-extract")
                                                             : options.extractor_binary;
  engine->extractor_ = UniqueFd(::open(engine->extractor_path_.c_str(), O_RDONLY | O_CLOEXEC));
  for (unsigned i = 0; i < UidCount(options); ++i) engine->free_uids_.insert(options.first_uid + i);
  return engine;
}

Engine::~Engine() {
  spawner_.reset();  // every box ends here, so that the groups can be removed
  groups_.reset();
  cgroup::Undelegate(delegation_);
}

SandboxInfo Engine::Info() const {
  SandboxInfo info;
  info.engine = "native";
  info.degraded = !delegation_.memory || !delegation_.pids;
  utsname name{};
  ::uname(&name);
  info.detail = std::string("Linux ") + name.release + ", control group " +
                (delegation_.path.empty() ? "none" : delegation_.path);
  if (cpus_->pins()) info.detail += ", a CPU for each slot";
  if (info.degraded) info.detail += "; " + delegation_.missing;
  return info;
}

Result<unsigned> Engine::TakeUid() {
  const std::lock_guard lock(mutex_);
  if (free_uids_.empty()) {
    return ResourceExhausted("all " + std::to_string(UidCount(options_)) + " boxes are in use");
  }
  const unsigned uid = *free_uids_.begin();
  free_uids_.erase(free_uids_.begin());
  return uid;
}

void Engine::GiveBackUid(unsigned uid) {
  const std::lock_guard lock(mutex_);
  free_uids_.insert(uid);
}

uint64_t Engine::NextBoxId() {
  const std::lock_guard lock(mutex_);
  return next_box_++;
}

void Engine::DropOldest() {
  const auto oldest = std::min_element(
      environments_.begin(), environments_.end(),
      [](const auto& a, const auto& b) { return a.second.last_use < b.second.last_use; });
  Request request;
  request.op = Op::kDropEnvironment;
  request.id = oldest->second.id;
  // Fails only when that spawner is gone, and with it the environment.
  (void)spawner_->Send(oldest->second.generation, request, {}, {});
  environments_.erase(oldest);
}

Result<uint64_t> Engine::PrepareEnvironment(uint64_t generation,
                                            const BoxEnvironment& environment) {
  struct stat info {};
  if (::stat(environment.view_dir.c_str(), &info) != 0) {
    return ErrnoStatus(errno, "environment " + environment.view_dir);
  }
  // With the inode: a folder that was collected and made again is another one.
  std::string key = environment.view_dir;
  for (const std::string& part : {std::to_string(info.st_dev), std::to_string(info.st_ino),
                                  environment.shell, environment.env_binary}) {
    key += '\0';
    key += part;
  }
  const std::lock_guard lock(environments_mutex_);
  const auto found = environments_.find(key);
  if (found != environments_.end() && found->second.generation == generation) {
    found->second.last_use = ++uses_;
    return found->second.id;
  }
  if (found != environments_.end()) environments_.erase(found);
  while (environments_.size() >= kKeptEnvironments) DropOldest();

  Request request;
  request.op = Op::kMakeEnvironment;
  request.id = next_environment_++;
  std::string payload;
  for (const std::string& part : {environment.view_dir, environment.shell, environment.env_binary,
                                  BoxPasswd(options_.first_uid, UidCount(options_)),
                                  BoxGroups(options_.first_uid, UidCount(options_))}) {
    payload += part;
    payload += '\0';
  }
  if (payload.size() > kMaxInlinePayload)
    return InvalidArgument("the environment's paths are too long");
  request.payload_size = static_cast<uint32_t>(payload.size());
  const Result<UniqueFd> made = spawner_->Call(generation, request, payload, {});
  if (!made.ok()) return made.status().WithContext("prepare the environment");
  environments_[key] = Prepared{request.id, generation, ++uses_};
  return request.id;
}

}  // namespace envicutor::agent::native

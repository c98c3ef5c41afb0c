#include "executor-agent/sandbox/isolate/engine.h"

#include <sys/mount.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <sstream>

#include "common/base/encoding.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "executor-agent/sandbox/isolate/meta.h"
#include "executor-agent/sandbox/native/seccomp_filter.h"
#include "executor-agent/sandbox/shared.h"

namespace envicutor::agent::isolate {
namespace {

constexpr int kMaxSlots = 256;
constexpr unsigned kIdsASlot = 4;
constexpr int kDestroyMillis = 10'000;
// isolate asserts that the name of a lock file is shorter than 256 bytes.
constexpr size_t kMaxHubPath = 200;
constexpr char kDefaultPath[] = "/usr/local/bin:/usr/bin:/bin";

// The first isolate in PATH; "isolate" when there is none.
std::string FromPath() {
  const char* const variable = std::getenv("PATH");
  std::istringstream folders(variable == nullptr ? kDefaultPath : variable);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::string path = folder + "/isolate";
    if (folder.starts_with('/') && ::access(path.c_str(), X_OK) == 0) return path;
  }
  return "isolate";
}

std::string GroupName(unsigned id) { return "box-" + std::to_string(id); }

}  // namespace

Result<std::shared_ptr<Engine>> Engine::Make(const SandboxOptions& options) {
  if (options.slots < 1 || options.slots > kMaxSlots) {
    return InvalidArgument("slots must be between 1 and " + std::to_string(kMaxSlots));
  }
  std::shared_ptr<Engine> engine(new Engine());
  engine->options_ = options;
  std::string& binary = engine->options_.isolate_binary;
  if (binary.empty()) binary = FromPath();
  if (!binary.starts_with('/') || ::access(binary.c_str(), X_OK) != 0) {
    return FailedPrecondition(
        "isolate not found at " + binary +
        " (an absolute path is needed, or isolate in PATH): install ioi/isolate 2.6 or newer "
        "(http://www.ucw.cz/isolate/debian/), or use the "
        "native sandbox");
  }
  if (::geteuid() != 0) return FailedPrecondition("isolate needs root (CAP_SYS_ADMIN)");
  // A program that closes its stdin must not end us.
  ::signal(SIGPIPE, SIG_IGN);

  ENVICUTOR_ASSIGN(engine->lock_, LockStateDir(options.state_dir));
  const std::string hub = options.state_dir + "/isolate";
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(hub, 0700));
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(hub.c_str(), nullptr), ::free);
  if (real == nullptr) return ErrnoStatus(errno, hub);
  engine->hub_ = real.get();
  if (engine->hub_.size() > kMaxHubPath ||
      engine->hub_.find_first_of(":=\n") != std::string::npos) {
    return InvalidArgument("isolate cannot work below the state folder " + options.state_dir +
                           ": its path is too long or has a colon or an equals sign");
  }

  engine->delegation_ = cgroup::Delegate(GroupId(engine->hub_), !options.allow_degraded);
  const cgroup::Delegation& delegation = engine->delegation_;
  if (!delegation.memory || (!delegation.pids && !options.allow_degraded)) {
    return FailedPrecondition("isolate needs cgroup v2 with the memory and pids controllers: " +
                              delegation.missing);
  }
  std::array<char, PATH_MAX> root{};
  const std::string self = "/proc/self/fd/" + std::to_string(delegation.boxes.fd());
  if (::readlink(self.c_str(), root.data(), root.size() - 1) < 0) return ErrnoStatus(errno, self);
  engine->cg_root_ = root.data();

  engine->ids_.resize(size_t{kIdsASlot} * static_cast<size_t>(options.slots));
  engine->extractor_path_ = options.extractor_binary.empty() ? BesideOwnBinary("envicutor-extract")
                                                             : options.extractor_binary;
  engine->cpus_ = std::make_unique<CpuSlots>(options.pin_cpus, options.slots);
  ENVICUTOR_ASSIGN(
      std::vector<sock_filter> filter,
      native::CompileSeccompFilter(engine->cpus_->pins(), native::FilterFor::kIsolate));
  engine->launcher_ = std::make_unique<Launcher>(std::move(filter));
  ENVICUTOR_RETURN_IF_ERROR(engine->launcher_->Enter());
  Engine* const made = engine.get();
  ENVICUTOR_RETURN_IF_ERROR(engine->launcher_->Do([made] { return made->FillHub(); }));
  ENVICUTOR_RETURN_IF_ERROR(engine->launcher_->Do([made] { return made->ShowConfig(); }));
  ENVICUTOR_RETURN_IF_ERROR(engine->CheckIsolate());
  for (unsigned id = 0; id < engine->ids_.size() && id <= static_cast<unsigned>(options.slots);
       ++id) {
    engine->ids_[id].state = State::kQueued;
    engine->queue_.push_back(id);
  }
  engine->worker_ = std::thread([made] { made->Work(); });
  return engine;
}

Engine::~Engine() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (worker_.joinable()) worker_.join();
  cgroup::Undelegate(delegation_);
  launcher_.reset();
}

Status Engine::CheckIsolate() {
  ENVICUTOR_ASSIGN(const std::string version, launcher_->Call({binary(), "--version"}));
  if (!VersionAtLeast(version, 2, 6)) {
    return FailedPrecondition(binary() + " is not isolate 2.6 or newer: it says \"" +
                              version.substr(0, version.find('\n')) + "\"");
  }
  version_ = version.substr(0, version.find('\n'));
  const Result<std::string> root = launcher_->Call({binary(), "--print-cg-root"});
  if (!root.ok() || *root != cg_root_) {
    return FailedPrecondition(
        binary() +
        " reads its configuration from elsewhere than /usr/local/etc/isolate or "
        "/etc/isolate (build it with CONFIG=/usr/local/etc/isolate): " +
        (root.ok() ? "its cg_root is " + *root : root.status().message()));
  }
  return OkStatus();
}

SandboxInfo Engine::Info() const {
  SandboxInfo info;
  info.engine = "isolate";
  utsname name{};
  ::uname(&name);
  info.detail = version_ + ", Linux " + name.release + ", control group " + delegation_.path;
  if (cpus_->pins()) info.detail += ", a CPU for each slot";
  if (!delegation_.pids) info.detail += "; " + delegation_.missing;
  return info;
}

Result<unsigned> Engine::TakeId() {
  const std::lock_guard lock(mutex_);
  auto best = ids_.end();
  for (auto id = ids_.begin(); id != ids_.end(); ++id) {
    if (id->taken) continue;
    if (best == ids_.end() || (id->state == State::kReady && best->state != State::kReady))
      best = id;
  }
  if (best == ids_.end())
    return ResourceExhausted("all " + std::to_string(ids_.size()) + " boxes are in use");
  best->taken = true;
  return static_cast<unsigned>(best - ids_.begin());
}

void Engine::GiveBackId(unsigned id) {
  {
    const std::lock_guard lock(mutex_);
    ids_[id].taken = false;
    if (ids_[id].state != State::kReady ||
        ReadyAndFree() <= static_cast<size_t>(options_.slots) + 1)
      return;
    ids_[id].state = State::kQueued;  // more than enough: its control group goes
    queue_.push_back(id);
  }
  changed_.notify_all();
}

void Engine::Used(unsigned id) {
  {
    const std::lock_guard lock(mutex_);
    ids_[id].state = State::kQueued;
    queue_.push_back(id);
  }
  changed_.notify_all();
}

Result<cgroup::Group> Engine::Ready(unsigned id) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock,
                [&] { return ids_[id].state == State::kIdle || ids_[id].state == State::kReady; });
  if (ids_[id].state == State::kIdle) {
    ids_[id].state = State::kWorking;
    lock.unlock();
    const Status prepared = Prepare(id, true);
    lock.lock();
    ids_[id].state = prepared.ok() ? State::kReady : State::kIdle;
    changed_.notify_all();
    if (!prepared.ok()) return prepared;
  }
  lock.unlock();
  return delegation_.boxes.OpenChild(GroupName(id));
}

size_t Engine::ReadyAndFree() const {
  return static_cast<size_t>(std::count_if(ids_.begin(), ids_.end(), [](const Id& id) {
    return !id.taken && id.state != State::kIdle;
  }));
}

// isolate's own clean-up fails with EBUSY while dying processes hold the group: ours waits.
Status Engine::Prepare(unsigned id, bool initialise) {
  ENVICUTOR_RETURN_IF_ERROR(cgroup::Destroy(delegation_.boxes, GroupName(id), kDestroyMillis));
  if (!initialise) return OkStatus();
  return launcher_->Call({binary(), "--cg", "--box-id=" + std::to_string(id), "--init"}).status();
}

void Engine::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const unsigned id = queue_.front();
    queue_.pop_front();
    // It is free and there are enough others that are ready or on the way.
    const bool enough = !ids_[id].taken && ReadyAndFree() > static_cast<size_t>(options_.slots) + 1;
    ids_[id].state = State::kWorking;
    lock.unlock();
    const Status prepared = Prepare(id, !enough);
    lock.lock();
    if (!prepared.ok()) log::Error("isolate box not prepared", {{"error", prepared.ToString()}});
    ids_[id].state = prepared.ok() && !enough ? State::kReady : State::kIdle;
    changed_.notify_all();
  }
}

}  // namespace envicutor::agent::isolate

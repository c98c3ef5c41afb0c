#include "standalone/node/pod_worker.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include "common/base/file.h"
#include "common/base/log.h"
#include "standalone/node/adoption.h"

namespace envicutor::standalone {
namespace {

constexpr std::chrono::seconds kRestartBase{1};
constexpr std::chrono::seconds kRestartMax{300};
// A container that ran this long starts anew without delay.
constexpr std::chrono::minutes kRestartForgotten{2};
constexpr std::chrono::seconds kRetryApi{1};
constexpr std::chrono::seconds kStopGrace{10};
constexpr std::chrono::hours kNever{24};
// A busy executor writes hundreds of lines a second: they are read together, this far apart.
constexpr std::chrono::milliseconds kOutputQuiet{20};

bool WasReady(const Json& status) {
  const Json& conditions = At(status, {"conditions"});
  return conditions.is_array() &&
         std::any_of(conditions.begin(), conditions.end(), [](const Json& condition) {
           return GetString(condition, "type") == "Ready" &&
                  GetString(condition, "status") == "True";
         });
}

}  // namespace

PodWorker::PodWorker(NodeContext& context, kube::ObjectPtr pod)
    : context_(context),
      uid_(kube::UidOf(*pod)),
      pod_dir_(context.pods_dir + "/" + uid_),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      pod_(std::move(pod)),
      backoff_(kRestartBase, kRestartMax) {
  thread_ = std::jthread([this] { Run(); });
}

PodWorker::~PodWorker() {
  Vanished();
  Join();
}

void PodWorker::Join() {
  if (thread_.joinable()) thread_.join();
}

void PodWorker::Update(kube::ObjectPtr pod) {
  const std::lock_guard lock(mutex_);
  inbox_.pod = std::move(pod);
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof(one));
}

void PodWorker::Vanished() {
  const std::lock_guard lock(mutex_);
  inbox_.vanished = true;
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof(one));
}

void PodWorker::Stop() {
  const std::lock_guard lock(mutex_);
  inbox_.stop = true;
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof(one));
}

bool PodWorker::finished() const {
  const std::lock_guard lock(mutex_);
  return finished_;
}

void PodWorker::Run() {
  Restore();
  while (Step()) Wait();
  container_.reset();
  if (address_index_ > 0) context_.addresses.Give(address_index_);
  const std::lock_guard lock(mutex_);
  finished_ = true;
}

void PodWorker::Restore() {
  const SteadyTime now = context_.clock->Now();
  const WallTime wall = context_.clock->WallNow();
  next_start_ = report_not_before_ = remove_not_before_ = running_since_ = now;
  reported_ = At(*pod_, {"status"});
  state_.pod_started = wall;
  int wanted = 0;
  const Result<std::string> saved = ReadFile(pod_dir_ + "/state.json", 1U << 20U);
  if (saved.ok()) {
    const Result<Json> json = ParseJson(*saved);
    auto left =
        json.ok() ? PodStateFromJson(*json) : Result<std::pair<PodState, int>>(json.status());
    if (left.ok()) std::tie(state_, wanted) = *left;
  }
  if (const auto index = context_.addresses.Take(wanted)) address_index_ = *index;
  addresses_ = {AddressPool::Address(address_index_, context_.pod_subnet), context_.host_ip,
                context_.node_name};
  Result<PodSpec> spec = ParsePodSpec(*pod_);
  const std::string phase = GetString(reported_, "phase");
  if (phase == "Succeeded" || phase == "Failed") {
    state_.final_phase = phase;
    terminating_ = true;
    reported_ = Json();  // never written again
  }
  if (!spec.ok()) {
    state_.waiting_reason = "CreateContainerConfigError";
    state_.waiting_message = spec.status().message();
    Event("Warning", "Failed", spec.status().message());
    next_start_ = now + kNever;
    PodSpec shell;
    shell.ns = kube::NamespaceOf(*pod_);
    shell.name = kube::NameOf(*pod_);
    shell.uid = uid_;
    spec_ = std::move(shell);
    (void)EndRecorded(pod_dir_);
    return;
  }
  spec_ = std::move(*spec);
  prober_ = std::make_unique<HttpProber>(addresses_.pod_ip);
  Resume();
}

// What an earlier process of this node left running, or its end.
void PodWorker::Resume() {
  if (state_.step != PodState::Step::kRunning || !state_.final_phase.empty()) {
    // Started, but not said to run; or over.
    (void)EndRecorded(pod_dir_);
    return;
  }
  const SteadyTime now = context_.clock->Now();
  ContainerEnd end;
  container_ = Container::Adopt(context_, *spec_, pod_dir_, addresses_.pod_ip,
                                state_.container_started, &end);
  if (!container_) {
    HandleEnd(end);
    next_start_ = now;
    return;
  }
  state_.ready = !spec_->readiness || WasReady(reported_);
  BeginProbes(now);
  log::Info("container taken over", {{"pod", spec_->name}, {"container", state_.container_id}});
}

void PodWorker::BeginProbes(SteadyTime now) {
  if (spec_->readiness) readiness_.emplace(*spec_->readiness, state_.ready, now);
  if (spec_->liveness) liveness_.emplace(*spec_->liveness, true, now);
}

void PodWorker::Save() const {
  Status saved = MakeDirs(pod_dir_, 0700);
  if (saved.ok()) {
    saved = WriteFileAtomic(pod_dir_ + "/state.json",
                            DumpJson(PodStateToJson(state_, address_index_)), 0600);
  }
  if (!saved.ok()) log::Warn("cannot save a pod's state", {{"error", saved.ToString()}});
}

bool PodWorker::Step() {
  Inbox inbox;
  {
    const std::lock_guard lock(mutex_);
    inbox = std::exchange(inbox_, {});
  }
  if (inbox.pod) pod_ = inbox.pod;
  vanished_ = vanished_ || inbox.vanished;
  const SteadyTime now = context_.clock->Now();

  if (container_) {
    container_->Pump();
    if (container_->started() && state_.step != PodState::Step::kRunning) {
      state_.step = PodState::Step::kRunning;
      state_.container_id = container_->id();
      state_.container_started = context_.clock->WallNow();
      state_.ready = !spec_->readiness.has_value();
      running_since_ = now;
      BeginProbes(now);
      Save();
      Event("Normal", "Started", "Started container " + spec_->container);
    }
    if (const auto end = container_->TakeEnd()) {
      container_.reset();
      HandleEnd(*end);
    }
  }
  if (inbox.stop && !stopping_) {
    stopping_ = true;
    BeginTermination(std::min<Duration>(spec_->grace, kStopGrace));
  }
  const Json& metadata = At(*pod_, {"metadata"});
  const bool deleting = !GetString(metadata, "deletionTimestamp").empty();
  if (vanished_ && container_) {
    container_->Kill();
  } else if (deleting && !(terminating_ && kill_at_)) {
    BeginTermination(std::chrono::seconds(
        std::clamp<int64_t>(GetInt(metadata, "deletionGracePeriodSeconds", 30), 0, 24LL * 3600)));
  }
  if (spec_->active_deadline && state_.final_phase.empty() &&
      context_.clock->WallNow() >= state_.pod_started + *spec_->active_deadline) {
    state_.final_phase = "Failed";
    state_.final_reason = "DeadlineExceeded";
    state_.final_message = "Pod was active on the node longer than the specified deadline";
    BeginTermination(std::min<Duration>(spec_->grace, kStopGrace));
  }
  if (container_ && kill_at_ && now >= *kill_at_) {
    container_->Kill();
    kill_at_ = now + kRetryApi;
  }
  if (container_ && !terminating_) RunProbes();
  if (!container_ && !terminating_ && !vanished_ && state_.final_phase.empty() &&
      now >= next_start_) {
    StartContainer();
  }
  if (container_) {
    Report();
    return true;
  }
  if (vanished_) return Remove();
  Report();
  if (deleting) return Remove();
  return !stopping_;
}

void PodWorker::BeginTermination(Duration grace) {
  const SteadyTime deadline = context_.clock->Now() + grace;
  kill_at_ = kill_at_ ? std::min(*kill_at_, deadline) : deadline;
  terminating_ = true;
  state_.ready = false;
  if (!container_) return;
  Event("Normal", "Killing", "Stopping container " + spec_->container);
  container_->Terminate();
}

Status PodWorker::FindAddress() {
  const std::vector<int> ports = PodPorts(*spec_);
  const std::string before = addresses_.pod_ip;
  Status in_use;
  if (address_index_ > 0) {
    in_use = CheckPortsFree(before, ports);
    if (in_use.ok()) return OkStatus();
  }
  const auto index = context_.addresses.Take(0, [&](int free) {
    const Status found = CheckPortsFree(AddressPool::Address(free, context_.pod_subnet), ports);
    if (!found.ok()) in_use = found;
    return found.ok();
  });
  if (!index) {
    return Unavailable(
        "no pod address of this node is free, of " + AddressPool::Range(context_.pod_subnet) +
        (in_use.ok() ? "" : "; the last: " + in_use.message()) +
        ". `ss -ltnp` says who listens there: end what listens on these ports of all addresses");
  }
  if (address_index_ > 0) {
    context_.addresses.Give(address_index_);
    log::Info("the pod's address is in use by others, it gets another",
              {{"pod", spec_->name},
               {"address", AddressPool::Address(*index, context_.pod_subnet)},
               {"before", before},
               {"error", in_use.message()}});
  }
  address_index_ = *index;
  addresses_.pod_ip = AddressPool::Address(*index, context_.pod_subnet);
  prober_ = std::make_unique<HttpProber>(addresses_.pod_ip);
  return OkStatus();
}

void PodWorker::StartContainer() {
  CannotStart why;
  const Status found = FindAddress();
  if (!found.ok()) {
    why = {"CreateContainerError", found.message()};
  } else {
    container_ = Container::Start(context_, *spec_, pod_dir_, addresses_.pod_ip, &why);
  }
  if (container_) {
    state_.step = PodState::Step::kWaiting;
    state_.waiting_reason = "ContainerCreating";
    state_.waiting_message.clear();
    return;
  }
  if (state_.waiting_message != why.message) Event("Warning", "Failed", why.message);
  state_.step = PodState::Step::kWaiting;
  state_.waiting_reason = why.reason;
  state_.waiting_message = why.message;
  // Who waits for an address gets one soon after it is free.
  next_start_ = context_.clock->Now() + (found.ok() ? backoff_.Next() : kRestartBase);
}

void PodWorker::HandleEnd(const ContainerEnd& end) {
  const SteadyTime now = context_.clock->Now();
  log::Info("container ended", {{"pod", spec_->name},
                                {"reason", end.reason},
                                {"exitCode", std::to_string(end.exit_code)},
                                {"message", end.message}});
  state_.ready = false;
  state_.last_end = end;
  readiness_.reset();
  liveness_.reset();
  if (!terminating_) kill_at_.reset();  // of a failed liveness probe
  if (!terminating_ && ShouldRestart(spec_->restart_policy, end.exit_code)) {
    // The first restart, and one after a long run, is immediate.
    const bool fresh = state_.restart_count == 0 || now - running_since_ > kRestartForgotten;
    if (fresh) backoff_.Reset();
    next_start_ = fresh ? now : now + backoff_.Next();
    ++state_.restart_count;
    state_.step = PodState::Step::kWaiting;
    state_.waiting_reason = fresh ? "ContainerCreating" : "CrashLoopBackOff";
    const std::string why = !end.message.empty()
                                ? end.message
                                : "exit code " + std::to_string(end.exit_code) + ", `kubectl -n " +
                                      spec_->ns + " logs " + spec_->name + " --previous` says more";
    state_.waiting_message = fresh ? "" : "back-off restarting failed container: " + why;
    Event("Warning", "BackOff", "Restarting container " + spec_->container + ": " + end.reason);
  } else {
    state_.step = PodState::Step::kEnded;
    // A pod that the node's own stop ended goes on at its next start.
    const bool again = stopping_ && ShouldRestart(spec_->restart_policy, end.exit_code);
    if (again) {
      state_.step = PodState::Step::kWaiting;
      ++state_.restart_count;
    } else if (state_.final_phase.empty()) {
      state_.final_phase = end.exit_code == 0 ? "Succeeded" : "Failed";
    }
  }
  Save();
}

void PodWorker::RunProbes() {
  if (state_.step != PodState::Step::kRunning) return;
  if (readiness_ && context_.clock->Now() >= readiness_->due()) {
    const bool success = prober_->Probe(readiness_->spec());
    const bool ready = readiness_->Record(success, context_.clock->Now());
    if (state_.ready && !ready) Event("Warning", "Unhealthy", "Readiness probe failed");
    state_.ready = ready;
  }
  if (liveness_ && context_.clock->Now() >= liveness_->due()) {
    const bool success = prober_->Probe(liveness_->spec());
    if (!liveness_->Record(success, context_.clock->Now())) {
      Event("Warning", "Unhealthy", "Liveness probe failed: the container will be restarted");
      liveness_.reset();
      container_->Terminate();
      kill_at_ = context_.clock->Now() + spec_->grace;
    }
  }
}

void PodWorker::Report() {
  // The final status of an earlier life of the node stands.
  const SteadyTime now = context_.clock->Now();
  if (reported_.is_null() && !state_.final_phase.empty() && !state_.last_end) return;
  if (now < report_not_before_) return;
  Json status = MakePodStatus(*spec_, state_, addresses_, reported_, context_.clock->WallNow());
  if (status == reported_) return;
  const Result<Json> patched =
      context_.client->Patch(kube::kPods, spec_->ns, spec_->name, kube::PatchType::kMerge,
                             {{"metadata", {{"uid", uid_}}}, {"status", status}}, "status");
  if (patched.ok()) {
    reported_ = std::move(status);
    return;
  }
  if (patched.status().code() == Code::kNotFound || patched.status().code() == Code::kConflict) {
    vanished_ = true;
    return;
  }
  log::Warn("cannot report a pod's status",
            {{"pod", spec_->name}, {"error", patched.status().ToString()}});
  report_not_before_ = now + kRetryApi;
}

bool PodWorker::Remove() {
  const SteadyTime now = context_.clock->Now();
  if (now < remove_not_before_) return true;
  // What is gone from the API is gone from the disk.
  std::error_code error;
  std::filesystem::remove_all(pod_dir_, error);
  std::filesystem::remove_all(PodLogDir(context_, spec_->ns, spec_->name, uid_), error);
  if (!vanished_) {
    kube::Client::DeleteOptions options;
    options.uid = uid_;
    options.grace_period_seconds = 0;
    const Status deleted = context_.client->Delete(kube::kPods, spec_->ns, spec_->name, options);
    if (!deleted.ok() && deleted.code() != Code::kNotFound && deleted.code() != Code::kConflict) {
      log::Warn("cannot remove a pod", {{"pod", spec_->name}, {"error", deleted.ToString()}});
      remove_not_before_ = now + kRetryApi;
      return true;
    }
  }
  return false;
}

SteadyTime PodWorker::NextDue() const {
  const SteadyTime now = context_.clock->Now();
  SteadyTime due = now + std::chrono::seconds(60);
  // Exactly when Step would start it: a pod that has ended would be due for ever, and spin.
  if (!container_ && !terminating_ && !vanished_ && state_.final_phase.empty()) {
    due = std::min(due, next_start_);
  }
  if (container_ && kill_at_) due = std::min(due, *kill_at_);
  if (container_ && !terminating_ && readiness_) due = std::min(due, readiness_->due());
  if (container_ && !terminating_ && liveness_) due = std::min(due, liveness_->due());
  if (report_not_before_ > now) due = std::min(due, report_not_before_);
  if (remove_not_before_ > now) due = std::min(due, remove_not_before_);
  if (spec_->active_deadline && state_.final_phase.empty()) {
    const WallTime end = state_.pod_started + *spec_->active_deadline;
    due = std::min(due, now + (end - context_.clock->WallNow()));
  }
  return due;
}

void PodWorker::Wait() {
  const SteadyTime now = context_.clock->Now();
  const bool quiet = now < quiet_until_;
  const SteadyTime due = quiet ? std::min(NextDue(), quiet_until_) : NextDue();
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - now);
  const int output = container_ && !quiet ? container_->output_fd() : -1;
  std::array<pollfd, 3> polled{pollfd{wake_.get(), POLLIN, 0},
                               pollfd{container_ ? container_->control_fd() : -1, POLLIN, 0},
                               pollfd{output, POLLIN, 0}};
  ::poll(polled.data(), polled.size(), static_cast<int>(std::max<int64_t>(0, left.count())));
  if (polled[2].revents != 0) quiet_until_ = context_.clock->Now() + kOutputQuiet;
  uint64_t value = 0;
  (void)!::read(wake_.get(), &value, sizeof(value));
}

void PodWorker::Event(const char* type, const char* reason, const std::string& message) const {
  if (context_.events != nullptr) context_.events->Record(*pod_, type, reason, message);
}

}  // namespace envicutor::standalone

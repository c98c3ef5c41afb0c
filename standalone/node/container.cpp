#include "standalone/node/container.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "common/base/encoding.h"
#include "common/base/file.h"
#include "common/kube/resource.h"
#include "standalone/node/adoption.h"
#include "standalone/node/volumes.h"

namespace envicutor::standalone {
namespace {

constexpr char kHostAddress[] = "10.77.0.1";
constexpr char kGuestAddress[] = "10.77.0.2";
constexpr size_t kMaxTerminationMessage = 4096;
constexpr char kPath[] =
    "/opt/envicutor/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

using Data = std::map<std::string, std::string>;

// The seconds that a kubelet asks for too; a kube-apiserver extends exactly these to a year, as
// this node asks once for each start of a container.
constexpr int64_t kTokenSeconds = 3607;

// A token of the pod's service account, bound to the pod: it ends with it.
Result<Data> RequestToken(kube::Client& client, const PodSpec& pod, const std::string& audience) {
  const kube::ResourceType type{"authentication.k8s.io", "v1", "tokenrequests", "TokenRequest",
                                true};
  const kube::ResourceType at{"", "v1", "serviceaccounts/" + pod.service_account + "/token",
                              "TokenRequest", true};
  Json spec = {{"expirationSeconds", kTokenSeconds},
               {"audiences", Json::array()},
               {"boundObjectRef",
                {{"kind", "Pod"}, {"apiVersion", "v1"}, {"name", pod.name}, {"uid", pod.uid}}}};
  if (!audience.empty()) spec["audiences"].push_back(audience);
  const Result<Json> made = client.Create(
      at, pod.ns, {{"apiVersion", type.ApiVersion()}, {"kind", type.kind}, {"spec", spec}});
  if (!made.ok()) return made.status().WithContext("a token of " + pod.service_account);
  return Data{{"token", GetString(At(*made, {"status"}), "token")}};
}

Result<Data> FieldOf(const PodSpec& pod, const std::string& path) {
  if (path == "metadata.namespace") return Data{{"value", pod.ns}};
  if (path == "metadata.name") return Data{{"value", pod.name}};
  if (path == "metadata.uid") return Data{{"value", pod.uid}};
  return InvalidArgument("downwardAPI: \"" + path + "\" is not supported by this node");
}

DataLookup LookupIn(kube::Client& client, const PodSpec& pod) {
  return [&client, &pod](VolumeSpec::Kind kind, const std::string& name) -> Result<Data> {
    if (kind == VolumeSpec::Kind::kToken) return RequestToken(client, pod, name);
    if (kind == VolumeSpec::Kind::kFields) return FieldOf(pod, name);
    const std::string& ns = pod.ns;
    const bool secret = kind == VolumeSpec::Kind::kSecret;
    ENVICUTOR_ASSIGN(const Json object,
                     client.Get(secret ? kube::kSecrets : kube::kConfigMaps, ns, name));
    Data data;
    for (const char* member : {"data", "binaryData"}) {
      const bool encoded = secret || std::string_view(member) == "binaryData";
      const Json& entries = At(object, {member});
      if (!entries.is_object()) continue;
      for (const auto& [key, value] : entries.items()) {
        if (!value.is_string()) continue;
        std::string content = value.get<std::string>();
        if (encoded) {
          ENVICUTOR_ASSIGN(content, Base64Decode(content));
        }
        data[key] = std::move(content);
      }
    }
    return data;
  };
}

bool HasToken(const PodSpec& pod) {
  return std::any_of(pod.volumes.begin(), pod.volumes.end(), [](const VolumeSpec& volume) {
    return std::any_of(volume.sources.begin(), volume.sources.end(), [](const VolumeSpec& source) {
      return source.kind == VolumeSpec::Kind::kToken;
    });
  });
}

std::string LogDir(const NodeContext& context, const PodSpec& pod) {
  return PodLogDir(context, pod.ns, pod.name, pod.uid);
}

// This node has no images: its own programs stand in for them.
std::optional<CannotStart> CheckImage(const NodeContext& context, const PodSpec& pod) {
  const std::string& command = pod.command[0];
  const bool plain =
      command.find('/') == std::string::npos && !command.empty() && command[0] != '.';
  if (plain && ::access((context.bin_dir + "/" + command).c_str(), X_OK) == 0) return std::nullopt;
  return CannotStart{"ErrImagePull", "image \"" + pod.image +
                                         "\" cannot be had on this node: it runs Envicutor's own "
                                         "programs only, and \"" +
                                         command + "\" is none of them"};
}

}  // namespace

std::vector<int> PodPorts(const PodSpec& pod) {
  std::vector<int> ports = pod.ports;
  if (pod.readiness) ports.push_back(pod.readiness->port);
  if (pod.liveness) ports.push_back(pod.liveness->port);
  if (pod.component == "executor") ports.insert(ports.end(), {8443, 8081, 9464});
  std::sort(ports.begin(), ports.end());
  ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
  return ports;
}

bool RunsInMachine(const NodeContext& context, const PodSpec& pod) {
  return context.mode.mode == NodeMode::kUml && pod.component == "executor";
}

Result<LaunchPlan> MakeLaunchPlan(const NodeContext& context, const PodSpec& pod,
                                  const std::string& pod_dir, const std::string& address,
                                  const DataLookup& lookup) {
  const bool machine = RunsInMachine(context, pod);
  const PodAddresses addresses{machine ? std::string(kGuestAddress) : address, context.host_ip,
                               context.node_name};
  ENVICUTOR_ASSIGN(auto variables, ResolveEnv(pod, addresses, lookup));
  LaunchPlan plan;
  plan.root_dir = pod_dir + "/root";
  plan.bin_dir = context.bin_dir;
  plan.argv = ResolveCommand(pod, variables);
  if (HasToken(pod)) {
    // Where a cluster has a Service with an address of its own, this node has the server's.
    variables.try_emplace("KUBERNETES_SERVICE_HOST", context.api_host);
    variables.try_emplace("KUBERNETES_SERVICE_PORT", context.api_port);
  }
  variables.try_emplace("PATH", kPath);
  variables.try_emplace("HOME", "/root");
  variables.try_emplace("HOSTNAME", pod.name);
  for (const auto& [name, value] : variables) plan.env.push_back(name + "=" + value);
  plan.working_dir = pod.working_dir;
  plan.hostname = pod.name.substr(0, 63);
  plan.privileged = pod.privileged;
  PodSpec placed = pod;
  for (VolumeSpec& volume : placed.volumes) {
    if (volume.kind == VolumeSpec::Kind::kHostPath) {
      volume.source = context.host_path_root + volume.source;
    }
  }
  ENVICUTOR_ASSIGN(plan.mounts, PrepareVolumes(placed, pod_dir, lookup));
  if (!pod.termination_path.empty()) {
    const std::string file = pod_dir + "/termination-log";
    ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(file, "", 0666));
    plan.mounts.push_back({.source = file, .target = pod.termination_path});
  }
  if (machine) {
    MachinePlan& out = plan.machine.emplace();
    out.memory_bytes = MachineMemoryBytes(pod.memory_bytes);
    out.group_memory_bytes = pod.memory_bytes;
    out.host_address = kHostAddress;
    out.guest_address = kGuestAddress;
  }
  return plan;
}

Container::Container(NodeContext& context, const PodSpec& pod, const std::string& pod_dir)
    : context_(context),
      uid_(pod.uid),
      pod_dir_(pod_dir),
      id_("envicutor://" + RandomHex(16)),
      started_at_(context.clock->WallNow()) {}

std::unique_ptr<Container> Container::Start(NodeContext& context, const PodSpec& pod,
                                            const std::string& pod_dir, const std::string& address,
                                            CannotStart* why) {
  if (auto cannot = CheckImage(context, pod)) {
    *why = *cannot;
    return nullptr;
  }
  const auto fail = [why](const char* reason, const Status& status) {
    *why = {reason, status.message()};
    return nullptr;
  };
  if (const Status made = MakeDirs(pod_dir + "/root", 0700); !made.ok()) {
    return fail("CreateContainerError", made);
  }
  const auto plan = MakeLaunchPlan(context, pod, pod_dir, address, LookupIn(*context.client, pod));
  if (!plan.ok()) return fail("CreateContainerConfigError", plan.status());
  if (const Status made = MakeDirs(LogDir(context, pod), 0750); !made.ok()) {
    return fail("CreateContainerError", made);
  }
  // Of a start whose node was killed before it said that the command runs.
  (void)EndRecorded(pod_dir);
  std::unique_ptr<Container> container(new Container(context, pod, pod_dir));
  container->OpenLog(pod, true);
  Result<KeptFiles> files = MakeKeptFiles(pod_dir);
  if (!files.ok()) return fail("CreateContainerError", files.status());
  container->output_ = std::move(files->output_read);
  const UniqueFd lock(::open(context.lock_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!lock.valid()) return fail("CreateContainerError", ErrnoStatus(errno, context.lock_path));
  LaunchRequest request{context.bin_dir + "/envicutor-pod-init", *plan, files->output_write.get(),
                        -1};
  request.keep = KeepFds{files->events.get(), files->drain.get(), lock.get()};
  UniqueFd group;
  if (context.groups.enabled() && !plan->machine) {
    auto made = context.groups.MakeGroup(pod.uid, pod.memory_bytes, pod.cpu_millis);
    if (!made.ok()) return fail("CreateContainerError", made.status());
    group = std::move(*made);
    container->group_ = context.groups.Folder(pod.uid);
    request.cgroup_fd = group.get();
  }
  request.on_process = [&](pid_t pid) {
    return WriteProcessRecord(pod_dir, {.process = {pid, StartTicks(pid).value_or(0)},
                                        .boot_id = BootId(),
                                        .container_id = container->id_,
                                        .machine = plan->machine.has_value(),
                                        .group = container->group_});
  };
  auto process = Launch(request);
  if (!process.ok()) return fail("CreateContainerError", process.status());
  container->process_ = std::move(*process);
  if (plan->machine) {
    if (const Status added = container->Forward(pod, address); !added.ok()) {
      return fail("CreateContainerError", added);
    }
  }
  return container;
}

std::unique_ptr<Container> Container::Adopt(NodeContext& context, const PodSpec& pod,
                                            const std::string& pod_dir, const std::string& address,
                                            WallTime started, ContainerEnd* end) {
  std::unique_ptr<Container> container(new Container(context, pod, pod_dir));
  container->started_at_ = started;
  const Status taken = container->TakeOver(pod, address);
  if (taken.ok()) return container;
  std::optional<InitEvent> word;
  for (const InitEvent& event : ReadEvents(EventsPath(pod_dir))) {
    if (event.type != InitEvent::Type::kStarted) word = event;
  }
  container->OpenLog(pod, false);
  container->log_->Write(ReadRest(EventsPath(pod_dir)));
  container->log_->Flush();
  *end = container->EndOf(word);
  if (!word) {
    end->reason = "ContainerStatusUnknown";
    end->message = taken.message();
  } else if (struct stat info{}; ::stat(EventsPath(pod_dir).c_str(), &info) == 0) {
    end->finished = WallTime(std::chrono::seconds(info.st_mtim.tv_sec));
  }
  container.reset();
  (void)EndRecorded(pod_dir);
  return nullptr;
}

Status Container::TakeOver(const PodSpec& pod, const std::string& address) {
  const Result<ProcessRecord> record = ReadProcessRecord(pod_dir_);
  if (!record.ok()) return FailedPrecondition("the node was restarted, and has no record of it");
  id_ = record->container_id;
  group_ = record->group;
  UniqueFd process = OpenRecorded(*record);
  if (!process.valid()) return NotFound("it ended while no node was there");
  const std::string proc = "/proc/" + std::to_string(record->process.pid) + "/ns/net";
  UniqueFd network(::open(proc.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat theirs {};
  struct stat ours {};
  if (!network.valid() || ::fstat(network.get(), &theirs) != 0 ||
      ::stat("/proc/self/ns/net", &ours) != 0) {
    return NotFound("it ended while no node was there");
  }
  if (record->machine != RunsInMachine(context_, pod)) {
    return FailedPrecondition("the node was restarted in another mode");
  }
  if (!record->machine && theirs.st_ino != ours.st_ino) {
    return FailedPrecondition("the node was restarted in another network");
  }
  ENVICUTOR_ASSIGN(output_, OpenOutput(pod_dir_));
  process_ = std::make_unique<PodProcess>(record->process.pid, std::move(process), UniqueFd(),
                                          std::move(network), EventsPath(pod_dir_));
  started_ = true;
  OpenLog(pod, false);
  return record->machine ? Forward(pod, address) : OkStatus();
}

Status Container::Forward(const PodSpec& pod, const std::string& address) {
  ENVICUTOR_RETURN_IF_ERROR(
      context_.forwarder->Add(uid_, {address, PodPorts(pod), process_->network(), kGuestAddress}));
  forwarded_ = true;
  return OkStatus();
}

void Container::OpenLog(const PodSpec& pod, bool anew) {
  const std::string path = LogDir(context_, pod) + "/" + pod.container + ".log";
  if (anew) BeginLog(path);
  log_ = std::make_unique<LogWriter>(path, *context_.clock, true);
}

Container::~Container() {
  const bool ran = process_ != nullptr;
  process_.reset();
  if (forwarded_) context_.forwarder->Remove(uid_);
  if (!group_.empty()) PodGroups::RemoveGroup(group_);
  if (ran) RemoveProcessRecord(pod_dir_);
}

void Container::ReadOutput() {
  std::array<char, 16384> buffer{};
  while (output_open_) {
    const ssize_t length = ::read(output_.get(), buffer.data(), buffer.size());
    if (length > 0) {
      log_->Write(std::string_view(buffer.data(), static_cast<size_t>(length)));
      context_.log_hub.Notify();
    } else if (length < 0 && errno == EINTR) {
      continue;
    } else if (length < 0 && errno == EAGAIN) {
      return;
    } else {
      log_->Flush();
      output_open_ = false;
    }
  }
}

void Container::Pump() {
  for (const InitEvent& event : process_->TakeEvents(&closed_)) {
    if (event.type == InitEvent::Type::kStarted) {
      started_ = true;
      started_at_ = context_.clock->WallNow();
    } else if (!end_) {
      end_ = event;
    }
  }
  ReadOutput();
}

std::string Container::TerminationMessage() const {
  // Bounded read of what the container wrote; too long a message is cut as the kubelet does.
  const UniqueFd fd(
      ::open((pod_dir_ + "/termination-log").c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  std::string text(kMaxTerminationMessage, '\0');
  const ssize_t length = fd.valid() ? ::read(fd.get(), text.data(), text.size()) : 0;
  text.resize(length > 0 ? static_cast<size_t>(length) : 0);
  return ToUtf8Lossy(text);
}

std::optional<ContainerEnd> Container::TakeEnd() {
  // The init's last word is the end of its control socket; then all its processes are dead, and the
  // output ends too.
  if (!closed_) return std::nullopt;
  process_->Wait();
  ReadOutput();
  log_->Write(ReadRest(EventsPath(pod_dir_)));
  log_->Flush();
  context_.log_hub.Notify();
  return EndOf(end_);
}

ContainerEnd Container::EndOf(const std::optional<InitEvent>& word) const {
  ContainerEnd end;
  end.started = started_at_;
  end.finished = context_.clock->WallNow();
  end.container_id = id_;
  const InitEvent event =
      word.value_or(InitEvent{InitEvent::Type::kExited, 128 + SIGKILL, SIGKILL, false, ""});
  end.exit_code = event.exit_code;
  end.signal = event.signal;
  const bool oom = event.oom_killed ||
                   (!group_.empty() && event.signal == SIGKILL && PodGroups::OomKills(group_) > 0);
  end.message = TerminationMessage();
  if (event.type == InitEvent::Type::kError) {
    end.exit_code = 128;
    end.reason = "ContainerCannotRun";
    end.message = event.message;
  } else if (oom) {
    end.reason = "OOMKilled";
  } else {
    end.reason = event.exit_code == 0 ? "Completed" : "Error";
  }
  if (end.message.empty()) end.message = ToUtf8Lossy(event.message);
  return end;
}

}  // namespace envicutor::standalone

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

// Named ports of the pod, its probes' ports, and for an executor the three of the architecture.
std::vector<int> ForwardedPorts(const PodSpec& pod) {
  std::vector<int> ports = pod.ports;
  if (pod.readiness) ports.push_back(pod.readiness->port);
  if (pod.liveness) ports.push_back(pod.liveness->port);
  ports.insert(ports.end(), {8443, 8081, 9464});
  std::sort(ports.begin(), ports.end());
  ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
  return ports;
}

bool HasToken(const PodSpec& pod) {
  return std::any_of(pod.volumes.begin(), pod.volumes.end(), [](const VolumeSpec& volume) {
    return std::any_of(volume.sources.begin(), volume.sources.end(), [](const VolumeSpec& source) {
      return source.kind == VolumeSpec::Kind::kToken;
    });
  });
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
  const std::string log_dir = PodLogDir(context, pod.ns, pod.name, pod.uid);
  if (const Status made = MakeDirs(log_dir, 0750); !made.ok()) {
    return fail("CreateContainerError", made);
  }
  std::unique_ptr<Container> container(new Container(context, pod, pod_dir));
  container->log_ =
      std::make_unique<LogWriter>(log_dir + "/" + pod.container + ".log", *context.clock, true);
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
    return fail("CreateContainerError", ErrnoStatus(errno, "pipe2"));
  }
  container->output_ = UniqueFd(pipe[0]);
  const UniqueFd output(pipe[1]);
  ::fcntl(pipe[0], F_SETFL, O_NONBLOCK);
  LaunchRequest request{context.bin_dir + "/envicutor-pod-init", *plan, output.get(), -1};
  UniqueFd group;
  if (context.groups.enabled() && !plan->machine) {
    auto made = context.groups.MakeGroup(pod.uid, pod.memory_bytes, pod.cpu_millis);
    if (!made.ok()) return fail("CreateContainerError", made.status());
    group = std::move(*made);
    container->grouped_ = true;
    request.cgroup_fd = group.get();
  }
  auto process = Launch(request);
  if (!process.ok()) return fail("CreateContainerError", process.status());
  container->process_ = std::move(*process);
  if (plan->machine) {
    const Status added = context.forwarder->Add(
        pod.uid, {address, ForwardedPorts(pod), container->process_->network(), kGuestAddress});
    if (!added.ok()) return fail("CreateContainerError", added);
    container->forwarded_ = true;
  }
  return container;
}

Container::~Container() {
  process_.reset();
  if (forwarded_) context_.forwarder->Remove(uid_);
  if (grouped_) context_.groups.RemoveGroup(uid_);
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
  ContainerEnd end;
  end.started = started_at_;
  end.finished = context_.clock->WallNow();
  end.container_id = id_;
  const InitEvent event =
      end_.value_or(InitEvent{InitEvent::Type::kExited, 128 + SIGKILL, SIGKILL, false, ""});
  end.exit_code = event.exit_code;
  end.signal = event.signal;
  const bool oom = event.oom_killed ||
                   (grouped_ && event.signal == SIGKILL && context_.groups.OomKills(uid_) > 0);
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

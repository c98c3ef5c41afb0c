// What of a Pod the node acts on, read once and checked: one container, its volumes, its probes.
// What the node cannot honour is refused in words instead of being left out. Pure functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"

namespace envicutor::standalone {

struct EnvEntry {
  enum class From { kValue, kField, kConfigMap, kSecret };
  From from = From::kValue;
  std::string name;
  std::string value;   // kValue: with $(VAR) in it; kField: the field path
  std::string object;  // kConfigMap, kSecret: its name
  std::string key;
  bool optional = false;
};

struct VolumeItem {
  std::string key;
  std::string path;
  int64_t mode = 0;  // 0: the volume's default
};

struct VolumeSpec {
  // The last two are sources of a projected volume only.
  enum class Kind { kEmptyDir, kHostPath, kSecret, kConfigMap, kProjected, kToken, kFields };
  Kind kind = Kind::kEmptyDir;
  std::string name;
  // Host path; the Secret's or ConfigMap's name; the audience of a service account's token.
  std::string source;
  std::string host_path_type;
  std::vector<VolumeItem> items;  // empty: every key
  int64_t default_mode = 0644;
  bool optional = false;
  bool in_memory = false;  // emptyDir: medium Memory
  int64_t size_bytes = 0;
  std::vector<VolumeSpec> sources;  // kProjected
};

struct VolumeMountSpec {
  std::string volume;
  std::string path;
  std::string sub_path;
  bool read_only = false;
};

struct ProbeSpec {
  std::string path;
  int port = 0;
  std::chrono::seconds initial_delay{0};
  std::chrono::seconds period{10};
  std::chrono::seconds timeout{1};
  int success_threshold = 1;
  int failure_threshold = 3;
};

enum class RestartPolicy { kAlways, kOnFailure, kNever };

struct PodSpec {
  std::string ns;
  std::string name;
  std::string uid;
  std::string component;  // label app.kubernetes.io/component
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::string service_account;

  std::string container;
  std::string image;
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::string working_dir = "/";
  std::vector<EnvEntry> env;
  std::vector<VolumeSpec> volumes;
  std::vector<VolumeMountSpec> mounts;
  std::vector<int> ports;
  bool privileged = false;
  int64_t memory_bytes = 0;  // limit; 0: none
  int64_t cpu_millis = 0;    // limit; 0: none
  std::optional<ProbeSpec> readiness;
  std::optional<ProbeSpec> liveness;
  std::string termination_path = "/dev/termination-log";

  RestartPolicy restart_policy = RestartPolicy::kAlways;
  std::chrono::seconds grace{30};
  std::optional<std::chrono::seconds> active_deadline;
};

// InvalidArgument names the field.
[[nodiscard]] Result<PodSpec> ParsePodSpec(const Json& pod);

// $(NAME) by the variables before it, $$(NAME) is a literal $(NAME), an unknown one stays.
[[nodiscard]] std::string ExpandVariables(std::string_view text,
                                          const std::map<std::string, std::string>& variables);

struct PodAddresses {
  std::string pod_ip;
  std::string host_ip;
  std::string node_name;
};
// The data of a ConfigMap or Secret by name, decoded; NotFound when absent. kToken with an audience
// gives "token"; kFields with a field path gives "value".
using DataLookup = std::function<Result<std::map<std::string, std::string>>(
    VolumeSpec::Kind kind, const std::string& name)>;

// NAME -> value, in the order of the spec where values refer to each other.
[[nodiscard]] Result<std::map<std::string, std::string>> ResolveEnv(const PodSpec& pod,
                                                                    const PodAddresses& addresses,
                                                                    const DataLookup& lookup);
// command and args, expanded.
[[nodiscard]] std::vector<std::string> ResolveCommand(
    const PodSpec& pod, const std::map<std::string, std::string>& variables);

// CPU quantity ("500m", "2", "1.5") in thousandths.
[[nodiscard]] Result<int64_t> ParseCpuMillis(std::string_view text);

}  // namespace envicutor::standalone

// Environment variables and command lines of a pod: references, expansion.
#include "standalone/node/pod_spec.h"

namespace envicutor::standalone {
namespace {

Result<std::string> FieldValue(const PodSpec& pod, const PodAddresses& addresses,
                               const std::string& path) {
  if (path == "metadata.name") return pod.name;
  if (path == "metadata.namespace") return pod.ns;
  if (path == "metadata.uid") return pod.uid;
  if (path == "spec.nodeName") return addresses.node_name;
  if (path == "spec.serviceAccountName") return pod.service_account;
  if (path == "status.podIP" || path == "status.podIPs") return addresses.pod_ip;
  if (path == "status.hostIP" || path == "status.hostIPs") return addresses.host_ip;
  for (const auto& [prefix, map] : {std::pair{std::string("metadata.labels['"), &pod.labels},
                                    {std::string("metadata.annotations['"), &pod.annotations}}) {
    if (path.rfind(prefix, 0) != 0 || path.size() < prefix.size() + 2) continue;
    const auto it = map->find(path.substr(prefix.size(), path.size() - prefix.size() - 2));
    return it == map->end() ? std::string() : it->second;
  }
  return InvalidArgument("fieldRef.fieldPath: \"" + path + "\" is not supported by this node");
}

}  // namespace

std::string ExpandVariables(std::string_view text,
                            const std::map<std::string, std::string>& variables) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '$' || at + 1 == text.size()) {
      out += text[at];
      continue;
    }
    if (text[at + 1] == '$') {
      out += '$';
      ++at;
      continue;
    }
    const size_t end = text[at + 1] == '(' ? text.find(')', at) : std::string_view::npos;
    if (end == std::string_view::npos) {
      out += '$';
      continue;
    }
    const auto it = variables.find(std::string(text.substr(at + 2, end - at - 2)));
    out += it == variables.end() ? std::string(text.substr(at, end - at + 1)) : it->second;
    at = end;
  }
  return out;
}

Result<std::map<std::string, std::string>> ResolveEnv(const PodSpec& pod,
                                                      const PodAddresses& addresses,
                                                      const DataLookup& lookup) {
  std::map<std::string, std::string> variables;
  for (const EnvEntry& entry : pod.env) {
    if (entry.from == EnvEntry::From::kValue) {
      variables[entry.name] = ExpandVariables(entry.value, variables);
      continue;
    }
    if (entry.from == EnvEntry::From::kField) {
      ENVICUTOR_ASSIGN(variables[entry.name], FieldValue(pod, addresses, entry.value));
      continue;
    }
    const bool secret = entry.from == EnvEntry::From::kSecret;
    const std::string what =
        std::string(secret ? "secret" : "configmap") + " \"" + entry.object + "\"";
    const auto data =
        lookup(secret ? VolumeSpec::Kind::kSecret : VolumeSpec::Kind::kConfigMap, entry.object);
    if (!data.ok()) {
      if (entry.optional && data.status().code() == Code::kNotFound) continue;
      return data.status();
    }
    const auto it = data->find(entry.key);
    if (it != data->end()) {
      variables[entry.name] = it->second;
    } else if (!entry.optional) {
      return NotFound("couldn't find key " + entry.key + " in " + what);
    }
  }
  return variables;
}

std::vector<std::string> ResolveCommand(const PodSpec& pod,
                                        const std::map<std::string, std::string>& variables) {
  std::vector<std::string> argv;
  for (const std::string& part : pod.command) argv.push_back(ExpandVariables(part, variables));
  for (const std::string& part : pod.args) argv.push_back(ExpandVariables(part, variables));
  return argv;
}

}  // namespace envicutor::standalone

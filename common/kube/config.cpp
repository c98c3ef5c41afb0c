#include "common/kube/config.h"

#include <yaml-cpp/yaml.h>

#include <cstdlib>

#include "common/base/encoding.h"
#include "common/base/file.h"

namespace envicutor::kube {
namespace {

constexpr size_t kMaxKubeconfigBytes = 4U << 20U;
constexpr const char* kServiceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/";

std::string Text(const YAML::Node& map, const char* key) {
  if (!map || !map.IsMap()) return "";
  const YAML::Node value = map[key];
  return value && value.IsScalar() ? value.Scalar() : "";
}

// The value of `inner` in the entry called `name` of the list `list`.
Result<YAML::Node> Named(const YAML::Node& root, const char* list, const std::string& name,
                         const char* inner) {
  const YAML::Node entries = root[list];
  if (entries && entries.IsSequence()) {
    for (const YAML::Node& entry : entries) {
      if (Text(entry, "name") == name && entry[inner] && entry[inner].IsMap()) return entry[inner];
    }
  }
  return NotFound(std::string(list) + " has no entry \"" + name + "\"");
}

// Relative file names in a kubeconfig start from the kubeconfig's own folder.
std::string Beside(const std::string& kubeconfig, const std::string& file) {
  if (file.empty() || file[0] == '/') return file;
  const size_t slash = kubeconfig.rfind('/');
  return slash == std::string::npos ? file : kubeconfig.substr(0, slash + 1) + file;
}

// KEY-data (base64) wins over KEY (a file), as in kubectl.
Result<std::string> Material(const YAML::Node& map, const std::string& key,
                             const std::string& kubeconfig) {
  const std::string data = Text(map, (key + "-data").c_str());
  if (!data.empty()) {
    Result<std::string> decoded = Base64Decode(data);
    if (!decoded.ok()) return decoded.status().WithContext(key + "-data");
    return decoded;
  }
  const std::string file = Text(map, key.c_str());
  if (file.empty()) return std::string();
  return ReadFile(Beside(kubeconfig, file), kMaxKubeconfigBytes);
}

Status ReadUser(const YAML::Node& user, const std::string& path, ClientConfig* config) {
  if (user["exec"] || user["auth-provider"]) {
    return Status(Code::kUnimplemented,
                  "the user in the kubeconfig has an exec or auth-provider plugin; envicutor takes "
                  "client certificates and tokens only");
  }
  if (!Text(user, "username").empty()) {
    return Status(Code::kUnimplemented,
                  "the user in the kubeconfig has a password; envicutor takes "
                  "client certificates and tokens only");
  }
  ENVICUTOR_ASSIGN(config->tls.cert_pem, Material(user, "client-certificate", path));
  ENVICUTOR_ASSIGN(config->tls.key_pem, Material(user, "client-key", path));
  config->bearer_token = Text(user, "token");
  if (const std::string file = Text(user, "tokenFile"); !file.empty()) {
    config->bearer_token_file = Beside(path, file);
    config->bearer_token.clear();  // the file wins, as in client-go
  }
  return OkStatus();
}

Result<ClientConfig> Parse(const std::string& text, const std::string& path,
                           std::string context_name) {
  const YAML::Node root = YAML::Load(text);
  if (!root.IsMap()) return InvalidArgument("it is not a YAML map");
  if (context_name.empty()) context_name = Text(root, "current-context");
  if (context_name.empty()) return InvalidArgument("it has no current-context");
  ENVICUTOR_ASSIGN(const YAML::Node context, Named(root, "contexts", context_name, "context"));
  ENVICUTOR_ASSIGN(const YAML::Node cluster,
                   Named(root, "clusters", Text(context, "cluster"), "cluster"));

  ClientConfig config;
  config.server = Text(cluster, "server");
  while (config.server.ends_with('/')) config.server.pop_back();
  if (config.server.empty()) return InvalidArgument("the cluster has no server");
  ENVICUTOR_ASSIGN(config.tls.ca_pem, Material(cluster, "certificate-authority", path));
  config.tls.expected_name = Text(cluster, "tls-server-name");
  config.tls.insecure_skip_verify = Text(cluster, "insecure-skip-tls-verify") == "true";
  if (const std::string ns = Text(context, "namespace"); !ns.empty()) config.default_namespace = ns;
  if (const std::string name = Text(context, "user"); !name.empty()) {
    ENVICUTOR_ASSIGN(const YAML::Node user, Named(root, "users", name, "user"));
    ENVICUTOR_RETURN_IF_ERROR(ReadUser(user, path, &config));
  }
  return config;
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody calls setenv
  return value == nullptr ? "" : value;
}

std::string Trimmed(std::string text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  text.erase(end == std::string::npos ? 0 : end + 1);
  return text;
}

}  // namespace

Result<ClientConfig> LoadKubeconfig(const std::string& path, const std::string& context) {
  ENVICUTOR_ASSIGN(const std::string text, ReadFile(path, kMaxKubeconfigBytes));
  try {
    Result<ClientConfig> config = Parse(text, path, context);
    if (!config.ok()) return config.status().WithContext(path);
    return config;
  } catch (const YAML::Exception& error) {
    return InvalidArgument(path + ": " + error.what());
  }
}

Result<ClientConfig> InClusterConfig() {
  const std::string host = Environment("KUBERNETES_SERVICE_HOST");
  const std::string port = Environment("KUBERNETES_SERVICE_PORT");
  if (host.empty() || port.empty()) {
    return NotFound(
        "not in a cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set");
  }
  const std::string folder = kServiceAccount;
  ClientConfig config;
  config.server =
      "https://" + (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + port;
  config.tls.expected_name = host;
  ENVICUTOR_ASSIGN(config.tls.ca_pem, ReadFile(folder + "ca.crt"));
  config.bearer_token_file = folder + "token";
  if (const auto ns = ReadFile(folder + "namespace"); ns.ok()) {
    config.default_namespace = Trimmed(*ns);
  }
  return config;
}

Result<ClientConfig> DefaultConfig(const std::string& kubeconfig_flag) {
  if (!kubeconfig_flag.empty()) return LoadKubeconfig(kubeconfig_flag);
  if (std::string paths = Environment("KUBECONFIG"); !paths.empty()) {
    // kubectl merges a list of files; the first one that is there is enough for us.
    for (size_t start = 0; start <= paths.size();) {
      const size_t end = std::min(paths.find(':', start), paths.size());
      const std::string path = paths.substr(start, end - start);
      start = end + 1;
      if (path.empty()) continue;
      Result<ClientConfig> config = LoadKubeconfig(path);
      if (config.ok() || config.status().code() != Code::kNotFound) return config;
    }
    return NotFound("KUBECONFIG names no file that exists: " + paths);
  }
  Result<ClientConfig> in_cluster = InClusterConfig();
  if (in_cluster.ok() || in_cluster.status().code() != Code::kNotFound) return in_cluster;
  const std::string home = Environment("HOME");
  if (home.empty()) return in_cluster.status();
  return LoadKubeconfig(home + "/.kube/config");
}

std::string WriteKubeconfig(const ClientConfig& config, const std::string& name) {
  YAML::Node cluster;
  cluster["server"] = config.server;
  if (!config.tls.ca_pem.empty()) {
    cluster["certificate-authority-data"] = Base64Encode(config.tls.ca_pem);
  }
  if (!config.tls.expected_name.empty()) cluster["tls-server-name"] = config.tls.expected_name;
  if (config.tls.insecure_skip_verify) cluster["insecure-skip-tls-verify"] = true;
  YAML::Node user(YAML::NodeType::Map);
  if (!config.tls.cert_pem.empty()) {
    user["client-certificate-data"] = Base64Encode(config.tls.cert_pem);
    user["client-key-data"] = Base64Encode(config.tls.key_pem);
  }
  if (!config.bearer_token.empty()) user["token"] = config.bearer_token;
  if (!config.bearer_token_file.empty()) user["tokenFile"] = config.bearer_token_file;

  YAML::Node root;
  root["apiVersion"] = "v1";
  root["kind"] = "Config";
  root["current-context"] = name;
  YAML::Node context;
  context["cluster"] = name;
  context["user"] = name;
  context["namespace"] = config.default_namespace;
  const auto add = [&](const char* list, const char* inner, const YAML::Node& value) {
    YAML::Node entry;
    entry["name"] = name;
    entry[inner] = value;
    root[list].push_back(entry);
  };
  add("clusters", "cluster", cluster);
  add("contexts", "context", context);
  add("users", "user", user);
  return YAML::Dump(root) + "\n";
}

}  // namespace envicutor::kube

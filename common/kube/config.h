// Where the API server is and who we are: a kubeconfig file or the pod's service account.
#pragma once

#include <string>

#include "common/base/status.h"
#include "common/http/tls.h"

namespace envicutor::kube {

struct ClientConfig {
  std::string server;  // "https://host:port"
  http::TlsClientOptions tls;
  std::string bearer_token;       // or
  std::string bearer_token_file;  // read again every minute (service-account tokens rotate)
  std::string default_namespace = "default";
};

// current-context unless `context` is given; *-data and file forms, token and tokenFile; exec and
// auth-provider plugins are refused in words.
[[nodiscard]] Result<ClientConfig> LoadKubeconfig(const std::string& path,
                                                  const std::string& context = "");
[[nodiscard]] Result<ClientConfig> InClusterConfig();
// --kubeconfig if given, else $KUBECONFIG, else in-cluster, else ~/.kube/config.
[[nodiscard]] Result<ClientConfig> DefaultConfig(const std::string& kubeconfig_flag);
// The text of a kubeconfig file for this config (PEM inline), one context named `name`.
[[nodiscard]] std::string WriteKubeconfig(const ClientConfig& config, const std::string& name);

}  // namespace envicutor::kube

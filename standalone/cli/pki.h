// The certificates of one installation: a CA for the API server and its clients, and one for
// operator and executors. The CAs stay; what they sign is made anew at every start.
#pragma once

#include <string>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/http/tls.h"
#include "standalone/cli/data_dir.h"

namespace envicutor::standalone {

struct Pki {
  std::string api_ca_pem;
  std::string executor_ca_pem;
  http::KeyPair api_server;
  http::KeyPair admin;      // O=system:masters
  http::KeyPair operator_;  // towards the API server
  http::KeyPair node;
  http::KeyPair agent;            // executor.envicutor.internal
  http::KeyPair operator_client;  // CN envicutor-operator, towards agents
};

// Also writes the files that processes are pointed at, below DATA/pki: ca.crt, apiserver.crt/key,
// executor-ca.crt, operator-client.crt/key.
[[nodiscard]] Result<Pki> PreparePki(const DataDir& data, const std::string& node_name,
                                     WallTime now);

// Kubeconfigs: admin (DATA/kubeconfig), operator and node (DATA/pki/NAME.kubeconfig).
[[nodiscard]] Status WriteKubeconfigs(const DataDir& data, const Pki& pki,
                                      const std::string& server);

}  // namespace envicutor::standalone

#include "standalone/cli/pki.h"

#include <sys/stat.h>

#include "common/base/file.h"
#include "common/kube/config.h"

namespace envicutor::standalone {
namespace {

constexpr std::chrono::hours kCaValidity{24 * 365 * 10};
constexpr std::chrono::hours kCertValidity{24 * 365};

Result<http::KeyPair> LoadOrMakeCa(const std::string& path, const std::string& name, WallTime now) {
  http::KeyPair ca;
  const Result<std::string> cert = ReadFile(path + ".crt", 1U << 16U);
  const Result<std::string> key = ReadFile(path + ".key", 1U << 16U);
  if (cert.ok() && key.ok()) return http::KeyPair{*cert, *key};
  ENVICUTOR_ASSIGN(ca, http::NewCa(name, now, kCaValidity));
  // The key first: a certificate without its key is made again.
  ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(path + ".key", ca.key_pem, 0600));
  ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(path + ".crt", ca.cert_pem, 0644));
  return ca;
}

Status WritePair(const std::string& path, const http::KeyPair& pair) {
  ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(path + ".key", pair.key_pem, 0600));
  return WriteFileAtomic(path + ".crt", pair.cert_pem, 0644);
}

Result<http::KeyPair> Client(const http::KeyPair& ca, const std::string& name,
                             std::vector<std::string> groups, WallTime now) {
  http::CertRequest request;
  request.common_name = name;
  request.organizations = std::move(groups);
  request.client = true;
  return http::IssueCert(ca, request, now, kCertValidity);
}

}  // namespace

Result<Pki> PreparePki(const DataDir& data, const std::string& node_name, WallTime now) {
  const std::string dir = data.Pki() + "/";
  ENVICUTOR_ASSIGN(const http::KeyPair api_ca, LoadOrMakeCa(dir + "ca", "envicutor-ca", now));
  ENVICUTOR_ASSIGN(const http::KeyPair executor_ca,
                   LoadOrMakeCa(dir + "executor-ca", "envicutor-executor-ca", now));
  Pki pki;
  pki.api_ca_pem = api_ca.cert_pem;
  pki.executor_ca_pem = executor_ca.cert_pem;
  http::CertRequest server;
  server.common_name = "envicutor-apiserver";
  server.dns_names = {"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"};
  server.ip_addresses = {"127.0.0.1"};
  server.server = true;
  ENVICUTOR_ASSIGN(pki.api_server, http::IssueCert(api_ca, server, now, kCertValidity));
  ENVICUTOR_ASSIGN(pki.admin, Client(api_ca, "envicutor-admin", {"system:masters"}, now));
  ENVICUTOR_ASSIGN(pki.operator_,
                   Client(api_ca, "envicutor-operator", {"envicutor:operators"}, now));
  ENVICUTOR_ASSIGN(pki.node, Client(api_ca, "system:node:" + node_name, {"system:nodes"}, now));
  http::CertRequest agent;
  agent.common_name = "executor.envicutor.internal";
  agent.dns_names = {"executor.envicutor.internal"};
  agent.server = true;
  ENVICUTOR_ASSIGN(pki.agent, http::IssueCert(executor_ca, agent, now, kCertValidity));
  ENVICUTOR_ASSIGN(pki.operator_client, Client(executor_ca, "envicutor-operator", {}, now));
  ENVICUTOR_RETURN_IF_ERROR(WritePair(dir + "apiserver", pki.api_server));
  ENVICUTOR_RETURN_IF_ERROR(WritePair(dir + "operator-client", pki.operator_client));
  return pki;
}

Status WriteKubeconfigs(const DataDir& data, const Pki& pki, const std::string& server) {
  const auto write = [&](const std::string& path, const http::KeyPair& pair) {
    kube::ClientConfig config;
    config.server = server;
    config.tls.ca_pem = pki.api_ca_pem;
    config.tls.cert_pem = pair.cert_pem;
    config.tls.key_pem = pair.key_pem;
    return WriteFileAtomic(path, kube::WriteKubeconfig(config, "envicutor"), 0600);
  };
  ENVICUTOR_RETURN_IF_ERROR(write(data.Kubeconfig(), pki.admin));
  ENVICUTOR_RETURN_IF_ERROR(write(data.Pki() + "/operator.kubeconfig", pki.operator_));
  return write(data.Pki() + "/node.kubeconfig", pki.node);
}

}  // namespace envicutor::standalone

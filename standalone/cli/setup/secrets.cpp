#include "standalone/cli/setup/secrets.h"

#include <map>

#include "common/base/encoding.h"
#include "common/base/log.h"
#include "common/kube/resource.h"
#include "standalone/cli/setup/signing_key.h"

namespace envicutor::standalone {
namespace {

constexpr char kPublisher[] = "publisher";
constexpr size_t kPasswordBytes = 32;

using Data = std::map<std::string, std::string>;

struct Found {
  bool exists = false;
  std::string resource_version;
  Data data;

  [[nodiscard]] std::string Get(const std::string& key) const {
    const auto it = data.find(key);
    return it == data.end() ? "" : it->second;
  }
};

Result<Found> Read(kube::Client& client, const std::string& ns, const std::string& name) {
  Found found;
  const Result<Json> secret = client.Get(kube::kSecrets, ns, name);
  if (!secret.ok() && secret.status().code() == Code::kNotFound) return found;
  if (!secret.ok()) return secret.status().WithContext("Secret " + ns + "/" + name);
  found.exists = true;
  found.resource_version = kube::ResourceVersionOf(*secret);
  const Json& data = At(*secret, {"data"});
  if (!data.is_object()) return found;
  for (const auto& [key, value] : data.items()) {
    if (!value.is_string()) continue;
    ENVICUTOR_ASSIGN(found.data[key], Base64Decode(value.get<std::string>()));
  }
  return found;
}

// Writes what differs; nothing when nothing does. Keys that are not in `data` stay.
Status Write(kube::Client& client, const std::string& ns, const std::string& name,
             const std::string& type, const Found& found, const Data& data) {
  Json encoded = Json::object();
  for (const auto& [key, value] : data) {
    if (found.Get(key) != value) encoded[key] = Base64Encode(value);
  }
  if (encoded.empty() && found.exists) return OkStatus();
  Json secret = {{"metadata", {{"name", name}, {"namespace", ns}}}, {"data", encoded}};
  Status written = OkStatus();
  if (found.exists) {
    // Of two writers the second one is refused and reads again.
    secret["metadata"]["resourceVersion"] = found.resource_version;
    written = client.Patch(kube::kSecrets, ns, name, kube::PatchType::kMerge, secret).status();
  } else {
    secret["apiVersion"] = "v1";
    secret["kind"] = "Secret";
    secret["type"] = type;
    secret["metadata"]["labels"] = {{"app.kubernetes.io/part-of", "envicutor"}};
    written = client.Create(kube::kSecrets, ns, secret).status();
  }
  if (!written.ok()) return written.WithContext("Secret " + ns + "/" + name);
  log::Info(found.exists ? "Secret updated" : "Secret made", {{"namespace", ns}, {"name", name}});
  return OkStatus();
}

Status WritePublicKey(kube::Client& client, const std::string& ns, const std::string& key) {
  const Json map = {{"apiVersion", "v1"},
                    {"kind", "ConfigMap"},
                    {"metadata",
                     {{"name", "envicutor-cache-public-key"},
                      {"namespace", ns},
                      {"labels", {{"app.kubernetes.io/part-of", "envicutor"}}}}},
                    {"data", {{"public-key", key}}}};
  const Status written = kube::CreateOrPatch(client, kube::kConfigMaps, ns, map).status();
  return written.ok() ? written : written.WithContext("ConfigMap envicutor-cache-public-key");
}

}  // namespace

Status EnsureCertificates(kube::Client& client, const SecretNames& names,
                          const CertificateTimes& times, WallTime now) {
  const std::string& ns = names.operator_namespace;
  ENVICUTOR_ASSIGN(const Found ca, Read(client, ns, "envicutor-ca"));
  ENVICUTOR_ASSIGN(const Found op, Read(client, ns, "envicutor-operator-tls"));
  ENVICUTOR_ASSIGN(const Found agent,
                   Read(client, names.executor_namespace, "envicutor-executor-tls"));
  Certificates there;
  there.ca = {ca.Get("ca.crt"), ca.Get("ca.key")};
  there.next_ca = {ca.Get("next.crt"), ca.Get("next.key")};
  there.previous_ca_cert = ca.Get("previous.crt");
  there.operator_client = {op.Get("tls.crt"), op.Get("tls.key")};
  there.agent = {agent.Get("tls.crt"), agent.Get("tls.key")};
  ENVICUTOR_ASSIGN(const Certificates made, Renewed(there, times, now));
  // The CA first: what it signs must never be there without it.
  ENVICUTOR_RETURN_IF_ERROR(Write(client, ns, "envicutor-ca", "Opaque", ca,
                                  {{"ca.crt", made.ca.cert_pem},
                                   {"ca.key", made.ca.key_pem},
                                   {"next.crt", made.next_ca.cert_pem},
                                   {"next.key", made.next_ca.key_pem},
                                   {"previous.crt", made.previous_ca_cert}}));
  ENVICUTOR_RETURN_IF_ERROR(Write(client, ns, "envicutor-operator-tls", "kubernetes.io/tls", op,
                                  {{"tls.crt", made.operator_client.cert_pem},
                                   {"tls.key", made.operator_client.key_pem},
                                   {"ca.crt", made.Bundle()}}));
  return Write(client, names.executor_namespace, "envicutor-executor-tls", "kubernetes.io/tls",
               agent,
               {{"tls.crt", made.agent.cert_pem},
                {"tls.key", made.agent.key_pem},
                {"ca.crt", made.Bundle()}});
}

Status EnsureCacheSecrets(kube::Client& client, const SecretNames& names,
                          const CacheSecrets& cache) {
  if (cache.key_name.empty() && cache.host.empty()) return OkStatus();
  ENVICUTOR_ASSIGN(const Found found, Read(client, names.executor_namespace, cache.key_secret));
  Data data = found.data;
  if (!cache.key_name.empty() && found.Get("secret-key").empty()) {
    ENVICUTOR_ASSIGN(data["secret-key"], NewSigningKey(cache.key_name));
  }
  std::string password;
  if (!cache.host.empty()) {
    password = NetrcPassword(found.Get("netrc"), cache.host);
    if (password.empty()) {
      password = RandomHex(kPasswordBytes);
      data["netrc"] = found.Get("netrc") + "machine " + cache.host + " login " + kPublisher +
                      " password " + password + "\n";
    }
  }
  ENVICUTOR_RETURN_IF_ERROR(
      Write(client, names.executor_namespace, cache.key_secret, "Opaque", found, data));
  if (!cache.host.empty()) {
    ENVICUTOR_ASSIGN(const Found auth,
                     Read(client, names.operator_namespace, "envicutor-cache-auth"));
    ENVICUTOR_ASSIGN(const std::string line, HtpasswdLine(kPublisher, password));
    ENVICUTOR_RETURN_IF_ERROR(Write(client, names.operator_namespace, "envicutor-cache-auth",
                                    "Opaque", auth, {{"htpasswd", line}}));
  }
  if (cache.key_name.empty()) return OkStatus();
  ENVICUTOR_ASSIGN(const std::string key, PublicKeyOf(data["secret-key"]));
  return WritePublicKey(client, names.operator_namespace, key);
}

}  // namespace envicutor::standalone

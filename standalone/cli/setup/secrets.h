// The Secrets that a cluster's Envicutor needs and nobody should have to make by hand. Each is made
// once and kept; only certificates are renewed.
#pragma once

#include <string>

#include "common/base/status.h"
#include "common/kube/client.h"
#include "standalone/cli/setup/certificates.h"

namespace envicutor::standalone {

struct SecretNames {
  std::string operator_namespace;
  std::string executor_namespace;
};

// Secrets envicutor-ca and envicutor-operator-tls in the operator's namespace,
// envicutor-executor-tls in the executors'. Conflict: somebody else wrote one meanwhile; run it
// again.
[[nodiscard]] Status EnsureCertificates(kube::Client& client, const SecretNames& names,
                                        const CertificateTimes& times, WallTime now);

struct CacheSecrets {
  std::string key_secret;  // in the executors' namespace
  std::string key_name;    // "": the signing key is not ours to make
  std::string host;        // of a cache that wants a publisher's password; "": none does
};
// The signing key and the publisher's netrc in the Secret `key_secret`; for the operator the
// ConfigMap envicutor-cache-public-key, for the cache the Secret envicutor-cache-auth (htpasswd).
[[nodiscard]] Status EnsureCacheSecrets(kube::Client& client, const SecretNames& names,
                                        const CacheSecrets& cache);

}  // namespace envicutor::standalone

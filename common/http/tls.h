// TLS material for both sides, always PEM text in memory (files are read by the caller, so that
// rotation is the caller's decision), and the making of a small CA for one machine.
#pragma once

#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"

namespace envicutor::http {

struct TlsClientOptions {
  std::string ca_pem;    // the only trusted roots (system CAs are not); empty: the system's
  std::string cert_pem;  // client certificate, or empty
  std::string key_pem;
  std::string
      expected_name;  // DNS name or IP the server's certificate must have; empty: the URL's host
  bool insecure_skip_verify = false;  // kubeconfig's insecure-skip-tls-verify only
};

struct TlsServerOptions {
  std::string cert_pem;
  std::string key_pem;
  std::string client_ca_pem;        // empty: client certificates are not asked for
  bool require_client_cert = true;  // with client_ca_pem: refuse clients without one
};

struct KeyPair {
  std::string cert_pem;
  std::string key_pem;
};

// ECDSA P-256. A CA that signs for `validity`.
[[nodiscard]] Result<KeyPair> NewCa(const std::string& common_name, WallTime now,
                                    Duration validity);
struct CertRequest {
  std::string common_name;
  std::vector<std::string> organizations;  // Kubernetes groups
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  bool server = false;
  bool client = false;
};
[[nodiscard]] Result<KeyPair> IssueCert(const KeyPair& ca, const CertRequest& request, WallTime now,
                                        Duration validity);

struct CertValidity {
  WallTime not_before;
  WallTime not_after;
};
// Of the first certificate. InvalidArgument: the text is not PEM.
[[nodiscard]] Result<CertValidity> ValidityOf(const std::string& cert_pem);
// True when `ca_pem`'s first certificate signed `cert_pem`'s; false for anything unreadable.
[[nodiscard]] bool IsSignedBy(const std::string& cert_pem, const std::string& ca_pem);

}  // namespace envicutor::http

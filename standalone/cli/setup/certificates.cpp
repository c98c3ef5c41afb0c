#include "standalone/cli/setup/certificates.h"

namespace envicutor::standalone {
namespace {

constexpr std::chrono::hours kCaValidity{24 * 365 * 10};
constexpr std::chrono::hours kTrustedBeforeUse{24};
constexpr char kCaName[] = "envicutor-executor-ca";
constexpr char kAgentName[] = "executor.envicutor.internal";
constexpr char kOperatorName[] = "envicutor-operator";

bool GoodUntil(const http::KeyPair& pair, WallTime until) {
  if (pair.key_pem.empty()) return false;
  const auto validity = http::ValidityOf(pair.cert_pem);
  return validity.ok() && validity->not_after > until;
}

Result<http::KeyPair> Issue(const http::KeyPair& ca, bool agent, const CertificateTimes& times,
                            WallTime now) {
  http::CertRequest request;
  request.common_name = agent ? kAgentName : kOperatorName;
  if (agent) request.dns_names = {kAgentName};
  request.server = agent;
  request.client = !agent;
  return http::IssueCert(ca, request, now, times.validity);
}

}  // namespace

Result<Certificates> Renewed(Certificates now_there, const CertificateTimes& times, WallTime now) {
  if (times.renew_before >= times.validity) {
    return InvalidArgument(
        "certificates would be renewed for ever: they are good for " +
        std::to_string(times.validity / std::chrono::hours(1)) + " h and renewed " +
        std::to_string(times.renew_before / std::chrono::hours(1)) + " h before their end");
  }
  Certificates made = std::move(now_there);
  if (!GoodUntil(made.ca, now)) {
    if (GoodUntil(made.next_ca, now)) {
      made.ca = std::exchange(made.next_ca, {});
    } else {
      ENVICUTOR_ASSIGN(made.ca, http::NewCa(kCaName, now, kCaValidity));
    }
  }
  if (!made.next_ca.cert_pem.empty() && !GoodUntil(made.next_ca, now)) made.next_ca = {};
  // A certificate must not outlive the CA: the successor comes two lives before its end.
  if (made.next_ca.cert_pem.empty() && !GoodUntil(made.ca, now + 2 * times.validity)) {
    ENVICUTOR_ASSIGN(made.next_ca, http::NewCa(kCaName, now, kCaValidity));
  } else if (!made.next_ca.cert_pem.empty()) {
    ENVICUTOR_ASSIGN(const http::CertValidity next, http::ValidityOf(made.next_ca.cert_pem));
    if (now >= next.not_before + kTrustedBeforeUse) {
      made.previous_ca_cert = made.ca.cert_pem;
      made.ca = std::exchange(made.next_ca, {});
    }
  }
  if (!made.previous_ca_cert.empty()) {
    const auto validity = http::ValidityOf(made.previous_ca_cert);
    if (!validity.ok() || validity->not_after <= now) made.previous_ca_cert.clear();
  }
  for (const bool agent : {false, true}) {
    http::KeyPair& pair = agent ? made.agent : made.operator_client;
    if (GoodUntil(pair, now + times.renew_before) &&
        http::IsSignedBy(pair.cert_pem, made.ca.cert_pem)) {
      continue;
    }
    ENVICUTOR_ASSIGN(pair, Issue(made.ca, agent, times, now));
  }
  return made;
}

}  // namespace envicutor::standalone

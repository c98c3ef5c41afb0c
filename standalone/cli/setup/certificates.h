// The certificates of operator and agents in a cluster: what is there, and what it should become.
// Pure functions.
#pragma once

#include <string>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/http/tls.h"

namespace envicutor::standalone {

// As the Secrets hold it; empty texts are what is not there yet.
struct Certificates {
  http::KeyPair ca;
  http::KeyPair next_ca;         // trusted already, signs later
  std::string previous_ca_cert;  // trusted still, signs no more
  http::KeyPair operator_client;
  http::KeyPair agent;

  // Whom both sides trust.
  [[nodiscard]] std::string Bundle() const {
    return ca.cert_pem + next_ca.cert_pem + previous_ca_cert;
  }
};

struct CertificateTimes {
  Duration validity;      // of a certificate
  Duration renew_before;  // it is made anew when less than this is left; less than `validity`
};

// A certificate is renewed when it ends soon, is unreadable, or the CA does not stand behind it.
// The CA ends years later: its successor is trusted by everybody for at least a day before it
// signs, and the predecessor is trusted until it ends, so that no moment is without a match.
[[nodiscard]] Result<Certificates> Renewed(Certificates now_there, const CertificateTimes& times,
                                           WallTime now);

}  // namespace envicutor::standalone

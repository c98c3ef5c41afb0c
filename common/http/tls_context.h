// Internal to this room: OpenSSL contexts from our options, for the server and both
// transports of the client.
#pragma once

#include <openssl/ssl.h>

#include <functional>
#include <string>

#include "common/base/status.h"
#include "common/http/server.h"
#include "common/http/tls.h"

namespace envicutor::http {

// TLS 1.2 or newer, no session resumption (a resumed session would skip the certificate checks).
[[nodiscard]] Status ConfigureServerContext(SSL_CTX* context, const TlsServerOptions& options);

// Replaces the trust store when ca_pem is given, and decides itself whether the server's
// certificate is for `expected_name` (or `host`): the caller's own verify callbacks are not asked.
// `on_refused` hears why a certificate was refused.
[[nodiscard]] Status ConfigureClientContext(SSL_CTX* context, const TlsClientOptions& options,
                                            const std::string& host,
                                            std::function<void(std::string)> on_refused);

[[nodiscard]] bool IsIpAddress(const std::string& host);

// Common name and organizations of a certificate; an attribute with a NUL byte inside is left out.
[[nodiscard]] PeerIdentity IdentityOf(X509* certificate);

// The oldest entry of OpenSSL's error queue of this thread, which is cleared.
[[nodiscard]] std::string OpenSslError();

}  // namespace envicutor::http

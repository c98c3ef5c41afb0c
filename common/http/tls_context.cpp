#include "common/http/tls_context.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>

#include "common/http/openssl_ptr.h"

namespace envicutor::http {
namespace {

Result<BioPtr> BioOf(const std::string& text) {
  BioPtr bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (!bio) return Internal("out of memory for TLS material");
  return bio;
}

Status UseIdentity(SSL_CTX* context, const std::string& cert_pem, const std::string& key_pem) {
  ENVICUTOR_ASSIGN(const BioPtr cert_bio, BioOf(cert_pem));
  const X509Ptr leaf(PEM_read_bio_X509(cert_bio.get(), nullptr, nullptr, nullptr));
  if (!leaf) return InvalidArgument("the certificate is not PEM: " + OpenSslError());
  if (SSL_CTX_use_certificate(context, leaf.get()) != 1) {
    return InvalidArgument("the certificate cannot be used: " + OpenSslError());
  }
  for (;;) {  // intermediates follow the leaf
    X509Ptr next(PEM_read_bio_X509(cert_bio.get(), nullptr, nullptr, nullptr));
    if (!next) break;
    if (SSL_CTX_add0_chain_cert(context, next.get()) != 1) {
      return InvalidArgument("the certificate chain cannot be used: " + OpenSslError());
    }
    (void)next.release();  // owned by the context now
  }
  ERR_clear_error();
  ENVICUTOR_ASSIGN(const BioPtr key_bio, BioOf(key_pem));
  const KeyPtr key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  if (!key) return InvalidArgument("the private key is not PEM: " + OpenSslError());
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return InvalidArgument("the private key does not belong to the certificate: " + OpenSslError());
  }
  return OkStatus();
}

// A store with these roots and no others. `names`, when given, collects the subjects.
Result<StorePtr> StoreOf(const std::string& ca_pem, STACK_OF(X509_NAME) * names) {
  StorePtr store(X509_STORE_new());
  ENVICUTOR_ASSIGN(const BioPtr bio, BioOf(ca_pem));
  int count = 0;
  for (;;) {
    const X509Ptr root(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!root) break;
    if (X509_STORE_add_cert(store.get(), root.get()) != 1) {
      return InvalidArgument("a CA certificate cannot be used: " + OpenSslError());
    }
    if (names != nullptr) {
      X509_NAME* copy = X509_NAME_dup(X509_get_subject_name(root.get()));
      if (copy == nullptr || sk_X509_NAME_push(names, copy) == 0) {
        X509_NAME_free(copy);
        return Internal("out of memory for TLS material");
      }
    }
    ++count;
  }
  ERR_clear_error();
  if (count == 0) return InvalidArgument("the CA certificates are not PEM");
  return store;
}

// Travels with the SSL_CTX, which connections may keep longer than their client lives.
struct Expectation {
  std::string name;
  std::function<void(std::string)> on_refused;
};
void FreeExpectation(void*, void* data, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<Expectation*>(data);
}
int ExpectationIndex() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, FreeExpectation);
  return index;
}

int NoSecondOpinion(int ok, X509_STORE_CTX*) { return ok; }

// In place of OpenSSL's whole verification, so that the library that made the SSL object (it checks
// the URL's host in its own callback) is not asked.
int VerifyServer(X509_STORE_CTX* verification, void*) {
  const auto* ssl = static_cast<const SSL*>(
      X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx()));
  const auto* expected = static_cast<const Expectation*>(
      SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ExpectationIndex()));
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(verification);
  if (expected == nullptr || param == nullptr) return 0;
  const std::string& name = expected->name;
  // Only subject alternative names count, as in every Kubernetes client.
  X509_VERIFY_PARAM_set_hostflags(
      param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  const int named = IsIpAddress(name)
                        ? X509_VERIFY_PARAM_set1_ip_asc(param, name.c_str())
                        : X509_VERIFY_PARAM_set1_host(param, name.data(), name.size());
  if (named != 1) return 0;
  X509_STORE_CTX_set_verify_cb(verification, NoSecondOpinion);
  const int verified = X509_verify_cert(verification);
  if (verified != 1 && expected->on_refused) {
    expected->on_refused(X509_verify_cert_error_string(X509_STORE_CTX_get_error(verification)) +
                         (" (expected " + name) + ")");
  }
  return verified;
}

int AcceptAny(X509_STORE_CTX*, void*) { return 1; }

std::vector<std::string> Attributes(X509_NAME* subject, int nid) {
  std::vector<std::string> values;
  for (int at = X509_NAME_get_index_by_NID(subject, nid, -1); at >= 0;
       at = X509_NAME_get_index_by_NID(subject, nid, at)) {
    unsigned char* utf8 = nullptr;
    const int length =
        ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (length < 0) continue;
    std::string value(reinterpret_cast<const char*>(utf8), static_cast<size_t>(length));
    OPENSSL_free(utf8);
    if (value.find('\0') == std::string::npos) values.push_back(std::move(value));
  }
  return values;
}

}  // namespace

bool IsIpAddress(const std::string& name) {
  std::array<unsigned char, sizeof(in6_addr)> address{};
  return inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
}

std::string OpenSslError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no details";
  std::array<char, 256> text{};
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

Status ConfigureServerContext(SSL_CTX* context, const TlsServerOptions& options) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  ENVICUTOR_RETURN_IF_ERROR(UseIdentity(context, options.cert_pem, options.key_pem));
  if (options.client_ca_pem.empty()) return OkStatus();
  STACK_OF(X509_NAME)* names = sk_X509_NAME_new_null();
  Result<StorePtr> store = StoreOf(options.client_ca_pem, names);
  if (!store.ok()) {
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return store.status().WithContext("client CA");
  }
  SSL_CTX_set_client_CA_list(context, names);         // takes ownership
  SSL_CTX_set_cert_store(context, store->release());  // takes ownership
  SSL_CTX_set_verify(
      context,
      SSL_VERIFY_PEER | (options.require_client_cert ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
      nullptr);
  return OkStatus();
}

Status ConfigureClientContext(SSL_CTX* context, const TlsClientOptions& options,
                              const std::string& host,
                              std::function<void(std::string)> on_refused) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  if (!options.cert_pem.empty()) {
    ENVICUTOR_RETURN_IF_ERROR(UseIdentity(context, options.cert_pem, options.key_pem));
  }
  if (options.insecure_skip_verify) {
    SSL_CTX_set_cert_verify_callback(context, AcceptAny, nullptr);
    return OkStatus();
  }
  if (!options.ca_pem.empty()) {
    ENVICUTOR_ASSIGN(StorePtr store, StoreOf(options.ca_pem, nullptr));
    SSL_CTX_set_cert_store(context, store.release());
  }
  auto expected = std::make_unique<Expectation>();
  expected->name = options.expected_name.empty() ? host : options.expected_name;
  expected->on_refused = std::move(on_refused);
  if (SSL_CTX_set_ex_data(context, ExpectationIndex(), expected.get()) != 1) {
    return Internal("out of memory for TLS material");
  }
  (void)expected.release();  // FreeExpectation deletes it with the context
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(context, VerifyServer, nullptr);
  return OkStatus();
}

PeerIdentity IdentityOf(X509* certificate) {
  X509_NAME* subject = X509_get_subject_name(certificate);
  PeerIdentity identity;
  const std::vector<std::string> names = Attributes(subject, NID_commonName);
  if (!names.empty()) identity.common_name = names.back();  // the most specific one
  identity.organizations = Attributes(subject, NID_organizationName);
  return identity;
}

}  // namespace envicutor::http

#include "common/http/tls.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "common/http/openssl_ptr.h"
#include "common/http/tls_context.h"

namespace envicutor::http {
namespace {

// Clocks of two machines differ: a certificate is valid a little before it is made.
constexpr auto kBackdate = std::chrono::minutes(5);

Status Failed(const char* what) { return Internal(std::string(what) + ": " + OpenSslError()); }

Status SetValidity(X509* cert, WallTime now, Duration validity) {
  const auto seconds = [](WallTime t) {
    return static_cast<time_t>(
        std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count());
  };
  if (ASN1_TIME_set(X509_getm_notBefore(cert), seconds(now - kBackdate)) == nullptr ||
      ASN1_TIME_set(X509_getm_notAfter(cert), seconds(now + validity)) == nullptr) {
    return Failed("certificate validity");
  }
  return OkStatus();
}

// 127 random bits: serial numbers must be positive and should not be guessable.
Status SetSerial(X509* cert) {
  const BignumPtr serial(BN_new());
  if (!serial || BN_rand(serial.get(), 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(cert)) == nullptr) {
    return Failed("certificate serial");
  }
  return OkStatus();
}

Status AddName(X509_NAME* subject, int nid, const std::string& value) {
  // Up to 64 bytes for a common name and an organization (RFC 5280, ub-common-name).
  if (X509_NAME_add_entry_by_NID(subject, nid, MBSTRING_UTF8,
                                 reinterpret_cast<const unsigned char*>(value.data()),
                                 static_cast<int>(value.size()), -1, 0) != 1) {
    return InvalidArgument("\"" + value + "\" cannot stand in a certificate: " + OpenSslError());
  }
  return OkStatus();
}

Status AddExtension(X509* cert, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, cert, nullptr, nullptr, 0);
  X509V3_set_ctx_nodb(&context);
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  if (!extension || X509_add_ext(cert, extension.get(), -1) != 1) {
    return InvalidArgument("certificate extension \"" + value + "\": " + OpenSslError());
  }
  return OkStatus();
}

bool IsPlainName(const std::string& name) {
  return !name.empty() && name.size() <= 253 &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._*:") ==
             std::string::npos;
}

// "DNS:a,IP:b". Names are checked first: OpenSSL's mini language has commas and sections.
Result<std::string> AltNames(const CertRequest& request) {
  std::string names;
  const auto add = [&names](const char* kind, const std::string& name) {
    if (!IsPlainName(name)) return InvalidArgument("\"" + name + "\" is not a host name");
    names += (names.empty() ? "" : ",") + std::string(kind) + name;
    return OkStatus();
  };
  for (const std::string& name : request.dns_names) ENVICUTOR_RETURN_IF_ERROR(add("DNS:", name));
  for (const std::string& name : request.ip_addresses) ENVICUTOR_RETURN_IF_ERROR(add("IP:", name));
  return names;
}

Result<KeyPair> ToPem(X509* cert, EVP_PKEY* key) {
  const auto text = [](BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    return std::string(data, static_cast<size_t>(size));
  };
  const BioPtr cert_bio(BIO_new(BIO_s_mem()));
  const BioPtr key_bio(BIO_new(BIO_s_mem()));
  if (!cert_bio || !key_bio || PEM_write_bio_X509(cert_bio.get(), cert) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) !=
          1) {
    return Failed("certificate encoding");
  }
  return KeyPair{text(cert_bio.get()), text(key_bio.get())};
}

Result<X509Ptr> NewCert(EVP_PKEY* key, WallTime now, Duration validity) {
  X509Ptr cert(X509_new());
  if (!cert || X509_set_version(cert.get(), X509_VERSION_3) != 1 ||
      X509_set_pubkey(cert.get(), key) != 1) {
    return Failed("certificate");
  }
  ENVICUTOR_RETURN_IF_ERROR(SetSerial(cert.get()));
  ENVICUTOR_RETURN_IF_ERROR(SetValidity(cert.get(), now, validity));
  return cert;
}

}  // namespace

Result<KeyPair> NewCa(const std::string& common_name, WallTime now, Duration validity) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return Failed("key generation");
  ENVICUTOR_ASSIGN(const X509Ptr cert, NewCert(key.get(), now, validity));
  X509_NAME* subject = X509_get_subject_name(cert.get());
  ENVICUTOR_RETURN_IF_ERROR(AddName(subject, NID_commonName, common_name));
  if (X509_set_issuer_name(cert.get(), subject) != 1) return Failed("certificate issuer");
  for (const auto& [nid, value] : {std::pair{NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
                                   std::pair{NID_key_usage, "critical,keyCertSign,cRLSign"},
                                   std::pair{NID_subject_key_identifier, "hash"}}) {
    ENVICUTOR_RETURN_IF_ERROR(AddExtension(cert.get(), cert.get(), nid, value));
  }
  if (X509_sign(cert.get(), key.get(), EVP_sha256()) == 0) return Failed("certificate signature");
  return ToPem(cert.get(), key.get());
}

Result<KeyPair> IssueCert(const KeyPair& ca, const CertRequest& request, WallTime now,
                          Duration validity) {
  const BioPtr ca_bio(BIO_new_mem_buf(ca.cert_pem.data(), static_cast<int>(ca.cert_pem.size())));
  const X509Ptr issuer(PEM_read_bio_X509(ca_bio.get(), nullptr, nullptr, nullptr));
  const BioPtr key_bio(BIO_new_mem_buf(ca.key_pem.data(), static_cast<int>(ca.key_pem.size())));
  const KeyPtr issuer_key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  if (!issuer || !issuer_key) {
    return InvalidArgument("the CA's certificate or key is not PEM: " + OpenSslError());
  }

  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return Failed("key generation");
  ENVICUTOR_ASSIGN(const X509Ptr cert, NewCert(key.get(), now, validity));
  X509_NAME* subject = X509_get_subject_name(cert.get());
  for (const std::string& organization : request.organizations) {
    ENVICUTOR_RETURN_IF_ERROR(AddName(subject, NID_organizationName, organization));
  }
  ENVICUTOR_RETURN_IF_ERROR(AddName(subject, NID_commonName, request.common_name));
  if (X509_set_issuer_name(cert.get(), X509_get_subject_name(issuer.get())) != 1) {
    return Failed("certificate issuer");
  }

  const auto extend = [&](int nid, const std::string& value) {
    return AddExtension(cert.get(), issuer.get(), nid, value);
  };
  ENVICUTOR_RETURN_IF_ERROR(extend(NID_basic_constraints, "critical,CA:FALSE"));
  ENVICUTOR_RETURN_IF_ERROR(extend(NID_key_usage, "critical,digitalSignature"));
  ENVICUTOR_RETURN_IF_ERROR(extend(NID_subject_key_identifier, "hash"));
  ENVICUTOR_RETURN_IF_ERROR(extend(NID_authority_key_identifier, "keyid:always"));
  std::string usage = request.server ? "serverAuth" : "";
  if (request.client) usage += usage.empty() ? "clientAuth" : ",clientAuth";
  if (!usage.empty()) ENVICUTOR_RETURN_IF_ERROR(extend(NID_ext_key_usage, usage));
  ENVICUTOR_ASSIGN(const std::string names, AltNames(request));
  if (!names.empty()) ENVICUTOR_RETURN_IF_ERROR(extend(NID_subject_alt_name, names));
  if (X509_sign(cert.get(), issuer_key.get(), EVP_sha256()) == 0) {
    return Failed("certificate signature");
  }
  return ToPem(cert.get(), key.get());
}

namespace {

X509Ptr ReadCert(const std::string& pem) {
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return X509Ptr(bio ? PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr) : nullptr);
}

Result<WallTime> TimeOf(const ASN1_TIME* time) {
  std::tm broken{};
  if (ASN1_TIME_to_tm(time, &broken) != 1) return Failed("certificate validity");
  return WallTime(std::chrono::system_clock::from_time_t(::timegm(&broken)));
}

}  // namespace

Result<CertValidity> ValidityOf(const std::string& cert_pem) {
  const X509Ptr cert = ReadCert(cert_pem);
  if (!cert) return InvalidArgument("the certificate is not PEM: " + OpenSslError());
  CertValidity validity;
  ENVICUTOR_ASSIGN(validity.not_before, TimeOf(X509_get0_notBefore(cert.get())));
  ENVICUTOR_ASSIGN(validity.not_after, TimeOf(X509_get0_notAfter(cert.get())));
  return validity;
}

bool IsSignedBy(const std::string& cert_pem, const std::string& ca_pem) {
  const X509Ptr cert = ReadCert(cert_pem);
  const X509Ptr ca = ReadCert(ca_pem);
  if (!cert || !ca) {
    (void)OpenSslError();  // empties the queue
    return false;
  }
  const bool good = X509_verify(cert.get(), X509_get0_pubkey(ca.get())) == 1;
  if (!good) (void)OpenSslError();
  return good;
}

}  // namespace envicutor::http

#include "standalone/cli/setup/signing_key.h"

#include <openssl/evp.h>

#include <array>
#include <memory>
#include <sstream>

#include "common/base/encoding.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kSeedBytes = 32;
constexpr size_t kPublicBytes = 32;
constexpr size_t kSaltBytes = 8;

}  // namespace

Result<std::string> NewSigningKey(const std::string& name) {
  const auto free_key = [](EVP_PKEY* key) { EVP_PKEY_free(key); };
  const std::unique_ptr<EVP_PKEY, decltype(free_key)> key(
      EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), free_key);
  std::array<unsigned char, kSeedBytes + kPublicBytes> bytes{};
  size_t seed = kSeedBytes;
  size_t size = kPublicBytes;
  if (!key || EVP_PKEY_get_raw_private_key(key.get(), bytes.data(), &seed) != 1 ||
      EVP_PKEY_get_raw_public_key(key.get(), bytes.data() + kSeedBytes, &size) != 1 ||
      seed != kSeedBytes || size != kPublicBytes) {
    return Internal("the signing key cannot be made");
  }
  return name + ":" +
         Base64Encode(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Result<std::string> PublicKeyOf(const std::string& secret_key) {
  const size_t colon = secret_key.find(':');
  const auto bytes = colon == std::string::npos || colon == 0
                         ? Result<std::string>(InvalidArgument("no name"))
                         : Base64Decode(secret_key.substr(colon + 1));
  if (!bytes.ok() || bytes->size() != kSeedBytes + kPublicBytes) {
    return InvalidArgument("secret-key is not a signing key (name:base64 of 64 bytes)");
  }
  return secret_key.substr(0, colon) + ":" + Base64Encode(bytes->substr(kSeedBytes));
}

Result<std::string> HtpasswdLine(const std::string& user, const std::string& password) {
  // The password is 256 random bits: the salt only has to differ between installations.
  const std::string salt = Sha256Hex("envicutor-cache:" + password).substr(0, kSaltBytes);
  const std::string salted = password + salt;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  if (EVP_Digest(salted.data(), salted.size(), digest.data(), &length, EVP_sha1(), nullptr) != 1) {
    return Internal("the password cannot be hashed");
  }
  const std::string hash(reinterpret_cast<const char*>(digest.data()), length);
  return user + ":{SSHA}" + Base64Encode(hash + salt) + "\n";
}

std::string NetrcPassword(const std::string& netrc, const std::string& host) {
  std::istringstream words(netrc);
  bool ours = false;
  for (std::string word; words >> word;) {
    std::string value;
    if (word == "machine" && words >> value) {
      ours = value == host;
    } else if (word == "password" && words >> value && ours) {
      return value;
    }
  }
  return "";
}

}  // namespace envicutor::standalone

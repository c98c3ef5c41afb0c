#include "executor-agent/builder/cache_key.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>

#include "common/base/encoding.h"
#include "common/base/json.h"
#include "executor-agent/store/environment_store.h"
#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {
namespace {

constexpr size_t kPublicBytes = 32;
constexpr size_t kSecretBytes = 64;  // libsodium's form: the seed, then the public key
constexpr size_t kSignatureBytes = 64;

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Context = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// Never like a narinfo's fingerprint, which begins with "1;/nix/store/".
std::string SignedText(const std::string& hash, const std::string& store_path) {
  return "envicutor environment 1;" + hash + ";" + store_path;
}

Result<std::string> KeyBytes(std::string_view key, size_t size, const char* what) {
  while (!key.empty() && (key.back() == '\n' || key.back() == ' ')) key.remove_suffix(1);
  const size_t colon = key.find(':');
  const Result<std::string> bytes =
      colon == std::string_view::npos ? InvalidArgument("") : Base64Decode(key.substr(colon + 1));
  if (colon == 0 || !bytes.ok() || bytes->size() != size) {
    return InvalidArgument(std::string("not a ") + what + " of Nix (name:base64)");
  }
  return *bytes;
}

bool SignatureFits(const std::string& text, const std::string& signature,
                   const std::string& public_key) {
  const Result<std::string> bytes = KeyBytes(public_key, kPublicBytes, "public key");
  if (!bytes.ok() || signature.size() != kSignatureBytes) return false;
  const Key key(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(*bytes), bytes->size()),
      EVP_PKEY_free);
  const Context context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  return key && context &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), Bytes(signature), signature.size(), Bytes(text),
                          text.size()) == 1;
}

}  // namespace

std::string CacheKeyName(std::string_view key) {
  const size_t colon = key.find(':');
  return colon == std::string_view::npos ? "" : std::string(key.substr(0, colon));
}

bool BelongsTo(std::string_view secret_key, const std::vector<std::string>& public_keys) {
  const Result<std::string> bytes = KeyBytes(secret_key, kSecretBytes, "secret key");
  if (!bytes.ok()) return false;
  const std::string ours =
      CacheKeyName(secret_key) + ":" + Base64Encode(bytes->substr(kSecretBytes - kPublicBytes));
  return std::find(public_keys.begin(), public_keys.end(), ours) != public_keys.end();
}

std::string PointerName(const std::string& hash) { return "environments/" + hash; }

Result<std::string> SignPointer(const std::string& hash, const std::string& store_path,
                                std::string_view secret_key) {
  ENVICUTOR_ASSIGN(const std::string bytes, KeyBytes(secret_key, kSecretBytes, "secret key"));
  const Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Bytes(bytes), kPublicBytes),
                EVP_PKEY_free);
  const Context context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  const std::string text = SignedText(hash, store_path);
  std::array<unsigned char, kSignatureBytes> signature{};
  size_t size = signature.size();
  if (!key || !context ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size, Bytes(text), text.size()) != 1) {
    return Internal("the environment's pointer cannot be signed");
  }
  const std::string_view raw(reinterpret_cast<const char*>(signature.data()), size);
  return DumpJson({{"hash", hash},
                   {"storePath", store_path},
                   {"signature", CacheKeyName(secret_key) + ":" + Base64Encode(raw)}});
}

Result<EnvironmentPointer> VerifyPointer(const std::string& hash, std::string_view text,
                                         const std::vector<std::string>& public_keys) {
  ENVICUTOR_ASSIGN(const Json json, ParseJson(text, 4));
  EnvironmentPointer pointer;
  pointer.hash = GetString(json, "hash");
  pointer.store_path = GetString(json, "storePath");
  const std::string signature = GetString(json, "signature");
  if (pointer.hash != hash || !IsEnvironmentHash(hash)) {
    return InvalidArgument("the pointer is for environment " + pointer.hash.substr(0, 64) +
                           ", not " + hash);
  }
  ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(pointer.store_path));
  pointer.signed_by = CacheKeyName(signature);
  const Result<std::string> bytes = KeyBytes(signature, kSignatureBytes, "signature");
  const std::string signed_text = SignedText(hash, pointer.store_path);
  const bool good =
      bytes.ok() && std::any_of(public_keys.begin(), public_keys.end(), [&](const auto& key) {
        return CacheKeyName(key) == pointer.signed_by && SignatureFits(signed_text, *bytes, key);
      });
  if (!good) return InvalidArgument("the pointer is not signed by a key of ours");
  return pointer;
}

}  // namespace envicutor::agent

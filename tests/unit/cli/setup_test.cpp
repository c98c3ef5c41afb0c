// `envicutor setup`: certificates that are renewed in time, keys in Nix's format, patches that
// replace.
#include <gtest/gtest.h>

#include "common/base/encoding.h"
#include "standalone/cli/setup/certificates.h"
#include "standalone/cli/setup/objects.h"
#include "standalone/cli/setup/signing_key.h"

namespace envicutor::standalone {
namespace {

using std::chrono::hours;

const WallTime kNow = FakeClock().WallNow();
const CertificateTimes kTimes{hours(2160), hours(720)};

Certificates Make(Certificates there, WallTime now) {
  auto made = Renewed(std::move(there), kTimes, now);
  EXPECT_TRUE(made.ok()) << made.status().ToString();
  return made.ok() ? *made : Certificates{};
}

TEST(Certificates, MadeOnceAndKeptUntilTheyEndSoon) {
  const Certificates made = Make({}, kNow);
  EXPECT_TRUE(http::IsSignedBy(made.agent.cert_pem, made.ca.cert_pem));
  EXPECT_TRUE(http::IsSignedBy(made.operator_client.cert_pem, made.ca.cert_pem));
  EXPECT_FALSE(http::IsSignedBy(made.ca.cert_pem, made.agent.cert_pem));

  const Certificates same = Make(made, kNow + hours(2160 - 721));
  EXPECT_EQ(same.agent.cert_pem, made.agent.cert_pem);
  EXPECT_EQ(same.operator_client.key_pem, made.operator_client.key_pem);

  const Certificates renewed = Make(made, kNow + hours(2160 - 719));
  EXPECT_NE(renewed.agent.cert_pem, made.agent.cert_pem);
  EXPECT_NE(renewed.operator_client.cert_pem, made.operator_client.cert_pem);
  EXPECT_EQ(renewed.ca.cert_pem, made.ca.cert_pem);
}

TEST(Certificates, GarbageAndAnotherCasCertificateAreReplaced) {
  const Certificates made = Make({}, kNow);
  Certificates broken = made;
  broken.agent.cert_pem = "garbage";
  broken.operator_client = Make({}, kNow).operator_client;
  const Certificates repaired = Make(broken, kNow);
  EXPECT_TRUE(http::IsSignedBy(repaired.agent.cert_pem, made.ca.cert_pem));
  EXPECT_TRUE(http::IsSignedBy(repaired.operator_client.cert_pem, made.ca.cert_pem));
}

// Somebody who runs it every day over the CA's end always finds both sides trusting each other,
// even when one side has what was written the day before.
TEST(Certificates, TheCaChangesWithoutAMomentOfDistrust) {
  Certificates there = Make({}, kNow);
  const std::string first_ca = there.ca.cert_pem;
  const auto trusts = [](const std::string& bundle, const std::string& cert) {
    size_t at = 0;
    const std::string end = "-----END CERTIFICATE-----\n";
    while (at < bundle.size()) {
      const size_t next = bundle.find(end, at) + end.size();
      if (http::IsSignedBy(cert, bundle.substr(at, next - at))) return true;
      at = next;
    }
    return false;
  };
  bool changed = false;
  for (int day = 3400; day < 3660; ++day) {
    const Certificates next = Make(there, kNow + hours(24) * day);
    ASSERT_TRUE(trusts(there.Bundle(), next.agent.cert_pem)) << day;
    ASSERT_TRUE(trusts(there.Bundle(), next.operator_client.cert_pem)) << day;
    ASSERT_TRUE(trusts(next.Bundle(), there.agent.cert_pem)) << day;
    ASSERT_TRUE(trusts(next.Bundle(), there.operator_client.cert_pem)) << day;
    changed = changed || next.ca.cert_pem != first_ca;
    there = next;
  }
  EXPECT_TRUE(changed);
  EXPECT_TRUE(there.previous_ca_cert.empty()) << "the first CA has ended";
}

TEST(Certificates, RenewalMustComeBeforeTheEnd) {
  const auto made = Renewed({}, {hours(10), hours(10)}, kNow);
  EXPECT_EQ(made.status().code(), Code::kInvalidArgument);
}

TEST(SigningKey, IsInNixsFormat) {
  const auto key = NewSigningKey("cache-1");
  ASSERT_TRUE(key.ok());
  ASSERT_EQ(key->rfind("cache-1:", 0), 0U);
  EXPECT_EQ(Base64Decode(key->substr(8))->size(), 64U);
  const auto public_key = PublicKeyOf(*key);
  ASSERT_TRUE(public_key.ok());
  EXPECT_EQ(Base64Decode(public_key->substr(8))->size(), 32U);
  EXPECT_NE(*NewSigningKey("cache-1"), *key);
  for (const char* bad : {"", "no-colon", ":AAAA", "name:AAAA"}) {
    EXPECT_EQ(PublicKeyOf(bad).status().code(), Code::kInvalidArgument) << bad;
  }
}

TEST(SigningKey, PasswordsOfAPublisher) {
  const std::string netrc =
      "machine other login a password x\nmachine cache.svc login p password y\n";
  EXPECT_EQ(NetrcPassword(netrc, "cache.svc"), "y");
  EXPECT_EQ(NetrcPassword(netrc, "third"), "");
  const auto line = HtpasswdLine("publisher", "y");
  ASSERT_TRUE(line.ok());
  EXPECT_EQ(line->rfind("publisher:{SSHA}", 0), 0U);
  EXPECT_EQ(*line, *HtpasswdLine("publisher", "y"));
  EXPECT_NE(*line, *HtpasswdLine("publisher", "z"));
}

TEST(SetupObjects, APatchReplacesInsteadOfAdding) {
  const Json current = {{"minReplicas", 3},
                        {"template", {{"image", "i"}, {"nodeSelector", {{"a", "b"}}}}}};
  const Json wanted = {{"minReplicas", 1}, {"template", {{"nodeSelector", {{"c", "d"}}}}}};
  EXPECT_EQ(
      ReplacingPatch(current, wanted),
      Json({{"minReplicas", 1},
            {"template", {{"image", nullptr}, {"nodeSelector", {{"a", nullptr}, {"c", "d"}}}}}}));
}

}  // namespace
}  // namespace envicutor::standalone

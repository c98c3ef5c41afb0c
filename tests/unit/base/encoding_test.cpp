#include "common/base/encoding.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace envicutor {
namespace {

TEST(Base64, VectorsOfTheRfc) {
  const std::vector<std::pair<std::string, std::string>> vectors = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(encoded, Base64Encode(plain));
    EXPECT_EQ(plain, *Base64Decode(encoded));
  }
}

TEST(Base64, RoundTripsRandomBytes) {
  std::mt19937 random(1);
  for (size_t size = 0; size < 300; ++size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    EXPECT_EQ(bytes, *Base64Decode(Base64Encode(bytes)));
  }
}

TEST(Base64, SkipsWhiteSpaceAndRefusesTheRest) {
  EXPECT_EQ("foobar", *Base64Decode("Zm9v\nYm\r\nFy \t"));
  for (const char* bad :
       {"Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zg==Zg==", "Zm9v!", "Zm-_", "Zg=a", "=Zg="}) {
    EXPECT_EQ(Code::kInvalidArgument, Base64Decode(bad).status().code()) << bad;
  }
  EXPECT_EQ("invalid base64 at offset 5", Base64Decode("Zm9v\n!").status().message());
}

TEST(Utf8, WellFormedAndNot) {
  for (const std::string good : {"", "a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
                                 "\xF4\x8F\xBF\xBF", "\xED\x9F\xBF"}) {
    EXPECT_TRUE(IsUtf8(good)) << HexEncode(good);
  }
  for (const std::string bad :
       {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xC3", "a\xFF", "\xE2\x28\xA1"}) {
    EXPECT_FALSE(IsUtf8(bad)) << HexEncode(bad);
  }
}

TEST(Utf8, PrefixNeverEndsInsideACharacter) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";  // 1 + 2 + 3 + 4 + 1 bytes
  const size_t ends[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
  for (size_t max = 0; max < 13; ++max) {
    EXPECT_EQ(ends[max], Utf8Prefix(text, max).size()) << max;
  }
  EXPECT_EQ(3U, Utf8Prefix("\xFF\xFF\xFF\xFF\xFF", 3).size()) << "no UTF-8: cut where it must be";
  EXPECT_EQ(3U, Utf8Prefix("\x80\x80\x80\x80\x80", 3).size());
}

TEST(Utf8, LossyIsAlwaysUtf8AndKeepsWhatIsGood) {
  EXPECT_EQ(
      "a\xEF\xBF\xBD\xEF\xBF\xBD"
      "b",
      ToUtf8Lossy("a\xE2\x82"
                  "b"));
  std::mt19937 random(2);
  for (int i = 0; i < 500; ++i) {
    std::string bytes(random() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    EXPECT_TRUE(IsUtf8(ToUtf8Lossy(bytes))) << HexEncode(bytes);
    if (IsUtf8(bytes)) {
      EXPECT_EQ(bytes, ToUtf8Lossy(bytes));
    }
    const std::string_view prefix = Utf8Prefix(bytes, 20);
    EXPECT_LE(prefix.size(), 20U);
    EXPECT_TRUE(std::string_view(bytes).starts_with(prefix));
  }
}

TEST(Digest, KnownValues) {
  EXPECT_EQ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Sha256Hex(""));
  EXPECT_EQ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", Sha256Hex("abc"));
  EXPECT_EQ("00ff7f", HexEncode(std::string_view("\x00\xff\x7f", 3)));
}

TEST(Random, UuidsAreVersion4AndDiffer) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string uuid = RandomUuid();
    ASSERT_EQ(36U, uuid.size());
    EXPECT_EQ('4', uuid[14]);
    EXPECT_NE(std::string::npos, std::string("89ab").find(uuid[19])) << uuid;
    EXPECT_TRUE(seen.insert(uuid).second);
  }
  EXPECT_EQ(20U, RandomHex(10).size());
}

}  // namespace
}  // namespace envicutor

// What reading and writing JSON text share; nobody else needs it.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace envicutor::internal {

// Whether a byte stands for itself in a JSON string, whatever surrounds it: no
// quote, backslash, control character or part of a character beyond ASCII.
constexpr std::array<bool, 256> kPlain = [] {
  std::array<bool, 256> plain{};
  for (size_t byte = 0x20; byte < 0x80; ++byte) plain[byte] = byte != '"' && byte != '\\';
  return plain;
}();
inline bool IsPlain(char c) { return kPlain[static_cast<unsigned char>(c)]; }

// How many of the eight bytes at `from` come before the first that is not
// plain. Nearly all bytes are, so that they are looked at together.
inline int PlainOfEight(const char* from) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighs = 0x80 * kOnes;
  uint64_t bytes = 0;
  std::memcpy(&bytes, from, sizeof(bytes));
  // The high bit of each byte that is zero; above the first one others may be
  // taken wrongly.
  const auto zeros = [](uint64_t each) { return (each - kOnes) & ~each; };
  const uint64_t special = (bytes | zeros(bytes ^ ('"' * kOnes)) | zeros(bytes ^ ('\\' * kOnes)) |
                            ((bytes - 0x20 * kOnes) & ~bytes)) &
                           kHighs;
  if constexpr (std::endian::native == std::endian::little) {
    return std::countr_zero(special) / 8;
  }
  int plain = 0;
  while (plain < 8 && IsPlain(from[plain])) ++plain;
  return plain;
}

// The first byte in [at, end) that is not plain.
inline const char* SkipPlain(const char* at, const char* end) {
  while (end - at >= 8) {
    const int plain = PlainOfEight(at);
    at += plain;
    if (plain < 8) return at;
  }
  while (at != end && IsPlain(*at)) ++at;
  return at;
}

// Bytes of the character beyond ASCII that begins at `at` (before `end`), 0
// where it is ill-formed: RFC 3629, so no overlong forms, surrogates or what is
// beyond U+10FFFF.
inline int Utf8Bytes(const char* at, const char* end) {
  const auto byte = [at](int index) { return static_cast<unsigned char>(at[index]); };
  const auto within = [&](int index, unsigned char low, unsigned char high) {
    return end - at > index && byte(index) >= low && byte(index) <= high;
  };
  const unsigned char lead = byte(0);
  if (lead >= 0xC2 && lead <= 0xDF) return within(1, 0x80, 0xBF) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool second = within(1, lead == 0xE0 ? 0xA0 : 0x80,
                               static_cast<unsigned char>(lead == 0xED ? 0x9F : 0xBF));
    return second && within(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool second = within(1, lead == 0xF0 ? 0x90 : 0x80, lead == 0xF4 ? 0x8F : 0xBF);
    return second && within(2, 0x80, 0xBF) && within(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

}  // namespace envicutor::internal

#include "standalone/apiserver/core/ids.h"

#include <sys/random.h>

#include <array>
#include <string_view>

#include "common/base/check.h"

namespace envicutor::standalone {

std::string IdSource::Uuid() {
  std::array<uint64_t, 2> bits = {Next(), Next()};
  bits[0] = (bits[0] & ~uint64_t{0xf000}) | 0x4000;                    // version 4
  bits[1] = (bits[1] & ~(uint64_t{3} << 62U)) | (uint64_t{1} << 63U);  // RFC 4122 variant
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < 32; ++i) {
    if (i == 8 || i == 12 || i == 16 || i == 20) text += '-';
    text += kHex[(bits[i / 16] >> (60U - 4U * (i % 16))) & 0xfU];
  }
  return text;
}

std::string IdSource::NameSuffix() {
  constexpr std::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";
  uint64_t bits = Next();
  std::string text;
  for (int i = 0; i < 5; ++i) {
    text += kAlphabet[bits % kAlphabet.size()];
    bits /= kAlphabet.size();
  }
  return text;
}

uint64_t SystemIdSource::Next() {
  uint64_t value = 0;
  CHECK(::getrandom(&value, sizeof(value), 0) == sizeof(value), "getrandom");
  return value;
}

uint64_t SeededIdSource::Next() {
  const std::lock_guard lock(mutex_);
  return random_();
}

}  // namespace envicutor::standalone

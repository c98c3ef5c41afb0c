#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "common/base/clock.h"
#include "common/base/encoding.h"
#include "standalone/apiserver/schema/cel/duration.h"
#include "standalone/apiserver/schema/validate.h"

namespace envicutor::standalone::schema {
namespace {

bool IsIp(int family, std::string_view text) {
  std::array<unsigned char, sizeof(in6_addr)> buffer{};
  return text.size() < 64 && inet_pton(family, std::string(text).c_str(), buffer.data()) == 1;
}

bool IsCidr(std::string_view text) {
  const size_t slash = text.rfind('/');
  if (slash == std::string_view::npos) return false;
  const std::string_view bits = text.substr(slash + 1);
  const bool digits =
      !bits.empty() && bits.size() <= 3 &&
      std::all_of(bits.begin(), bits.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) return false;
  const int value = std::stoi(std::string(bits));
  const std::string_view address = text.substr(0, slash);
  return (IsIp(AF_INET, address) && value <= 32) || (IsIp(AF_INET6, address) && value <= 128);
}

bool IsUuid(std::string_view text) {
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  if (text.size() != kForm.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool hex = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
    if (kForm[i] == '-' ? c != '-' : !hex) return false;
  }
  return true;
}

}  // namespace

bool HasFormat(std::string_view format, std::string_view text) {
  if (format == "date-time") return ParseRfc3339(text).ok();
  if (format == "date") {
    return text.size() == 10 && ParseRfc3339(std::string(text) + "T00:00:00Z").ok();
  }
  if (format == "duration") return cel::ParseGoDuration(text).ok();
  if (format == "byte") return Base64Decode(text).ok();
  if (format == "ipv4") return IsIp(AF_INET, text);
  if (format == "ipv6") return IsIp(AF_INET6, text);
  if (format == "cidr") return IsCidr(text);
  if (format == "uuid") return IsUuid(text);
  if (format == "uri") return text.find(':') != std::string_view::npos || text.starts_with("/");
  return true;
}

}  // namespace envicutor::standalone::schema

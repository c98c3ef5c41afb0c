#include "common/http/origin.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string_view>

#include "common/http/types.h"

namespace envicutor::http {
namespace {

constexpr size_t kMaxHostBytes = 255;  // of DNS

bool IsHostCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_';
}

bool IsAddressCharacter(char c) { return IsHostCharacter(c) || c == ':' || c == '%'; }

bool IsPort(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port > 0;
}

}  // namespace

Result<Origin> ParseOrigin(const std::string& url) {
  const Status refused =
      InvalidArgument("\"" + url + "\" is not an http or https URL of the form https://host:port");
  const size_t colon = url.find("://");
  if (colon == std::string::npos) return refused;
  const std::string_view scheme = std::string_view(url).substr(0, colon);
  Origin origin;
  origin.tls = EqualsIgnoreCase(scheme, "https");
  if (!origin.tls && !EqualsIgnoreCase(scheme, "http")) return refused;
  std::string_view rest = std::string_view(url).substr(colon + 3);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  origin.host_header = rest;
  std::string_view host = rest;
  std::string_view port = origin.tls ? "443" : "80";
  const bool bracketed = rest.starts_with('[');
  const size_t end = bracketed ? rest.find(']') : rest.find(':');
  if (bracketed) {
    if (end == std::string_view::npos) return refused;
    host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (!rest.empty() && !rest.starts_with(':')) return refused;
  } else {
    host = rest.substr(0, end);
    rest.remove_prefix(host.size());
  }
  if (!rest.empty()) {
    port = rest.substr(1);
    if (!IsPort(port)) return refused;
  }
  const auto is_allowed = bracketed ? IsAddressCharacter : IsHostCharacter;
  if (host.empty() || host.size() > kMaxHostBytes ||
      !std::all_of(host.begin(), host.end(), is_allowed)) {
    return refused;
  }
  origin.host = host;
  origin.port = port;
  return origin;
}

}  // namespace envicutor::http

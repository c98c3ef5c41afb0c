#include "standalone/apiserver/http/request_info.h"

#include <vector>

namespace envicutor::standalone {
namespace {

std::vector<std::string> Split(std::string_view path) {
  std::vector<std::string> parts;
  size_t start = 0;
  while (start <= path.size()) {
    const size_t end = std::min(path.find('/', start), path.size());
    if (end > start) parts.emplace_back(path.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

}  // namespace

std::optional<RequestInfo> ParseResourcePath(std::string_view path) {
  const std::vector<std::string> parts = Split(path);
  RequestInfo info;
  size_t at = 0;
  if (parts.size() > 2 && parts[0] == "api") {
    info.version = parts[1];
    at = 2;
  } else if (parts.size() > 3 && parts[0] == "apis") {
    info.group = parts[1];
    info.version = parts[2];
    at = 3;
  } else {
    return std::nullopt;
  }
  // namespaces/NS/RESOURCE, but namespaces/NS and its own subresources are the namespace.
  const bool in_namespace = parts[at] == "namespaces" && parts.size() > at + 2 &&
                            !(info.group.empty() && parts.size() == at + 3 &&
                              (parts[at + 2] == "status" || parts[at + 2] == "finalize"));
  if (in_namespace) {
    info.ns = parts[at + 1];
    at += 2;
  }
  info.resource = parts[at++];
  if (at < parts.size()) info.name = parts[at++];
  if (at < parts.size()) info.subresource = parts[at++];
  if (at < parts.size()) return std::nullopt;
  return info;
}

}  // namespace envicutor::standalone

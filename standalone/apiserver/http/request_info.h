// Which resource a path names: k8s.io/apiserver/pkg/endpoints/request. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace envicutor::standalone {

struct RequestInfo {
  std::string group;
  std::string version;
  std::string ns;           // "" for cluster scope and for all namespaces
  std::string resource;     // plural
  std::string name;         // "" for collections
  std::string subresource;  // "status", "log", ...
};

// Of "/api/v1/..." and "/apis/GROUP/VERSION/..." paths that go beyond the version; nothing for
// others. /api/v1/namespaces/NAME[/status|finalize] are the namespace itself.
[[nodiscard]] std::optional<RequestInfo> ParseResourcePath(std::string_view path);

}  // namespace envicutor::standalone

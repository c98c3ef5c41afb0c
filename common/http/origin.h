// Internal to the client: where a server is.
#pragma once

#include <string>

#include "common/base/status.h"

namespace envicutor::http {

struct Origin {
  bool tls = false;
  std::string host;  // name or address, an IPv6 address without its brackets
  std::string port;  // decimal
  std::string host_header;
};

// "https://host:port", "http://[::1]", a "/" may follow. InvalidArgument: anything else.
[[nodiscard]] Result<Origin> ParseOrigin(const std::string& url);

}  // namespace envicutor::http

// Internal to the server: what a request line's target means.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace envicutor::http {

struct Target {
  std::string path;                               // decoded, starts with '/', without ".." and NUL
  std::multimap<std::string, std::string> query;  // decoded, '+' is a space; at most 1024 pairs
};

// Takes "/path?query" and the absolute form "http://host/path?query". InvalidArgument for all else.
[[nodiscard]] Result<Target> ParseTarget(std::string_view target);

}  // namespace envicutor::http

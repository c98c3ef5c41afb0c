#include "executor-agent/extract/entry_path.h"

#include <algorithm>

namespace envicutor::extract {
namespace {

constexpr size_t kMaxPath = 1024;
constexpr size_t kMaxPart = 255;

// Calls visit(part) for each part between slashes that is not empty or ".".
template <typename Visit>
void ForEachPart(std::string_view path, Visit visit) {
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (!part.empty() && part != ".") visit(part);
  }
}

}  // namespace

std::string CheckEntryPath(std::string_view entry, std::string* path) {
  path->clear();
  if (entry.empty()) return "has no name";
  if (entry.front() == '/') return "is absolute";
  std::string why;
  ForEachPart(entry, [&](std::string_view part) {
    if (part == "..") why = "leaves the box";
    if (part.size() > kMaxPart) why = "has a part of more than 255 bytes";
    if (!path->empty()) *path += '/';
    *path += part;
  });
  if (path->size() > kMaxPath) why = "is longer than 1024 bytes";
  return why;
}

std::string CheckLinkTarget(std::string_view path, std::string_view target) {
  if (target.empty()) return "links to nothing";
  if (target.size() > kMaxPath) return "links to a path longer than 1024 bytes";
  if (target.front() == '/') return "links to an absolute path";
  long depth = std::count(path.begin(), path.end(), '/');
  bool left = false;
  ForEachPart(target, [&](std::string_view part) {
    depth += part == ".." ? -1 : 1;
    left = left || depth < 0;
  });
  return left ? "links to a place outside the box" : "";
}

}  // namespace envicutor::extract

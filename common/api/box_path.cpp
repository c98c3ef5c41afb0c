#include "common/api/bounds.h"
#include "common/api/run.h"

namespace envicutor::api {

Status CheckBoxPath(std::string_view path) {
  const std::string shown = "path \"" + std::string(path.substr(0, 128)) + "\" ";
  if (path.empty()) return InvalidArgument("a path must not be empty");
  if (path.size() > kMaxPathBytes) {
    return InvalidArgument(shown + "has more than " + std::to_string(kMaxPathBytes) + " bytes");
  }
  if (path.find('\0') != std::string_view::npos) return InvalidArgument(shown + "has a NUL byte");
  if (path.front() == '/')
    return InvalidArgument(shown + "is absolute: paths are relative to the box");
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view part = path.substr(start, end - start);
    if (part == "..") return InvalidArgument(shown + "leaves the box");
    if (part.empty()) return InvalidArgument(shown + "has an empty part");
    if (part == ".") return InvalidArgument(shown + "has a \".\" part");
    if (part.size() > kMaxPathPartBytes) {
      return InvalidArgument(shown + "has a part of more than " +
                             std::to_string(kMaxPathPartBytes) + " bytes");
    }
    start = end + 1;
  }
  return OkStatus();
}

}  // namespace envicutor::api

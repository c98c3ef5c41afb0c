#include "executor-agent/builder/narinfo.h"

#include <algorithm>
#include <charconv>

#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {
namespace {

constexpr size_t kHashLength = 32;

// "nar/" and one plain name.
bool IsNarUrl(std::string_view url) {
  if (url.substr(0, 4) != "nar/" || url.size() < 8 || url.size() > 255 || url[4] == '.') {
    return false;
  }
  return std::all_of(url.begin() + 4, url.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '.' || c == '-';
  });
}

Status ReadReferences(std::string_view words, std::vector<std::string>* references) {
  while (!words.empty()) {
    const size_t space = words.find(' ');
    std::string path = std::string(kStorePrefix) + std::string(words.substr(0, space));
    ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(path));
    references->push_back(std::move(path));
    words = space == std::string_view::npos ? "" : words.substr(space + 1);
  }
  return OkStatus();
}

}  // namespace

Result<Narinfo> ParseNarinfo(std::string_view text) {
  Narinfo info;
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const std::string_view line = text.substr(0, newline);
    text = newline == std::string_view::npos ? "" : text.substr(newline + 1);
    const size_t colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, colon);
    const std::string_view value = line.substr(colon + 2);
    if (key == "StorePath") info.store_path = value;
    if (key == "URL") info.url = value;
    if (key == "FileSize") {
      std::from_chars(value.data(), value.data() + value.size(), info.file_size_bytes);
    }
    if (key == "References") ENVICUTOR_RETURN_IF_ERROR(ReadReferences(value, &info.references));
  }
  ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(info.store_path));
  if (!IsNarUrl(info.url)) return InvalidArgument("a narinfo's URL is not below nar/");
  if (info.file_size_bytes < 0) return InvalidArgument("a narinfo's FileSize is negative");
  return info;
}

std::string NarinfoName(std::string_view store_path) {
  return std::string(store_path.substr(kStorePrefix.size(), kHashLength)) + ".narinfo";
}

}  // namespace envicutor::agent

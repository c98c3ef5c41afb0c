#include "common/kube/object_text.h"

#include <cstdint>
#include <cstring>

#include "common/base/json.h"
#include "common/base/status.h"

namespace envicutor::kube {
namespace {

constexpr size_t kMaxPaths = 32;

bool IsSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

class Walker {
 public:
  Walker(std::string_view text, std::span<const TextPath> paths, std::span<std::string_view> values)
      : at_(text.data()), end_(text.data() + text.size()), paths_(paths), values_(values) {}

  // The object that starts here, whose members are names_[depth] of the paths in `wanted`.
  bool Object(uint32_t wanted, size_t depth) {
    if (!Take('{')) return false;
    if (Take('}')) return true;
    do {
      SkipSpace();
      std::string_view name;
      if (!String(&name) || !Take(':')) return false;
      name = name.substr(1, name.size() - 2);
      if (name.find('\\') != std::string_view::npos) return false;
      if (!Member(Matching(wanted, name, depth), depth)) return false;
    } while (Take(','));
    return Take('}');
  }

 private:
  uint32_t Matching(uint32_t wanted, std::string_view name, size_t depth) const {
    uint32_t matching = 0;
    for (size_t i = 0; i < paths_.size(); ++i) {
      const uint32_t bit = uint32_t{1} << i;
      if ((wanted & bit) != 0 && paths_[i].names[depth] == name) matching |= bit;
    }
    return matching;
  }

  // The value of a member that the paths in `matching` name at `depth`.
  bool Member(uint32_t matching, size_t depth) {
    SkipSpace();
    const char* const start = at_;
    uint32_t inside = 0;
    for (size_t i = 0; i < paths_.size(); ++i) {
      if ((matching & (uint32_t{1} << i)) == 0) continue;
      values_[i] = {};  // of an earlier member of the same name
      if (paths_[i].depth > depth + 1) inside |= uint32_t{1} << i;
    }
    const bool walked =
        inside != 0 && at_ != end_ && *at_ == '{' ? Object(inside, depth + 1) : Skip();
    if (!walked) return false;
    for (size_t i = 0; i < paths_.size(); ++i) {
      if ((matching & (uint32_t{1} << i)) != 0 && paths_[i].depth == depth + 1) {
        values_[i] = {start, static_cast<size_t>(at_ - start)};
      }
    }
    return true;
  }

  bool Take(char c) {
    SkipSpace();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  void SkipSpace() {
    while (at_ != end_ && IsSpace(*at_)) ++at_;
  }

  // With its quotes.
  bool String(std::string_view* text) {
    if (at_ == end_ || *at_ != '"') return false;
    const char* const start = at_++;
    for (;;) {
      const auto* quote =
          static_cast<const char*>(std::memchr(at_, '"', static_cast<size_t>(end_ - at_)));
      if (quote == nullptr) return false;
      size_t backslashes = 0;
      while (quote[-1 - static_cast<std::ptrdiff_t>(backslashes)] == '\\') ++backslashes;
      at_ = quote + 1;
      if (backslashes % 2 == 0) break;
    }
    *text = {start, static_cast<size_t>(at_ - start)};
    return true;
  }

  // One value of any kind. Without recursion: nobody has said how deep it is.
  bool Skip() {
    std::string_view unused;
    if (at_ == end_) return false;
    if (*at_ == '"') return String(&unused);
    if (*at_ != '{' && *at_ != '[') {
      const char* const start = at_;
      while (at_ != end_ && *at_ != ',' && *at_ != '}' && *at_ != ']' && !IsSpace(*at_)) ++at_;
      return at_ != start;
    }
    size_t open = 0;
    while (at_ != end_) {
      const char c = *at_;
      if (c == '"') {
        if (!String(&unused)) return false;
        continue;
      }
      ++at_;
      if (c == '{' || c == '[') ++open;
      if ((c == '}' || c == ']') && --open == 0) return true;
    }
    return false;
  }

  const char* at_;
  const char* const end_;
  const std::span<const TextPath> paths_;
  const std::span<std::string_view> values_;
};

}  // namespace

bool FindMembers(std::string_view text, std::span<const TextPath> paths,
                 std::span<std::string_view> values) {
  if (paths.size() > kMaxPaths || values.size() < paths.size()) return false;
  for (std::string_view& value : values) value = {};
  const auto all = static_cast<uint32_t>((uint64_t{1} << paths.size()) - 1);
  return Walker(text, paths, values).Object(all, 0);
}

std::string TextString(std::string_view value) {
  if (value.size() < 2 || value.front() != '"') return "";
  const std::string_view inner = value.substr(1, value.size() - 2);
  bool plain = true;  // as nearly every name is
  for (const char c : inner) plain = plain && c != '\\' && c >= ' ' && c <= '~';
  if (plain) return std::string(inner);
  const Result<Json> parsed = ParseJson(value);
  return parsed.ok() && parsed->is_string() ? parsed->get<std::string>() : "";
}

std::string ResourceVersionInText(std::string_view object) {
  static constexpr std::array<TextPath, 1> kPaths{TextPath{"metadata", "resourceVersion"}};
  std::array<std::string_view, 1> values;
  if (FindMembers(object, kPaths, values)) return TextString(values[0]);
  const Result<Json> parsed = ParseJson(object);
  return parsed.ok() ? GetString(At(*parsed, {"metadata"}), "resourceVersion") : "";
}

}  // namespace envicutor::kube

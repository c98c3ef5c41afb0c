#include "standalone/apiserver/http/json_reader.h"

#include "common/base/json_parse.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxDuplicates = 100;

// For what is not in order: it words the error and names the keys that come twice. nlohmann's own
// builder with a callback costs twice as much, and such a key is lost.
class Builder {
 public:
  Builder(ReadJson* out, size_t max_depth) : out_(out), max_depth_(max_depth) {}

  // The interface that nlohmann's parser calls.
  bool null() { return Put(nullptr) != nullptr; }
  bool boolean(bool value) { return Put(value) != nullptr; }
  bool number_integer(int64_t value) { return Put(value) != nullptr; }
  bool number_unsigned(uint64_t value) { return Put(value) != nullptr; }
  bool number_float(double value, const std::string&) { return Put(value) != nullptr; }
  bool string(std::string& value) { return Put(std::move(value)) != nullptr; }
  bool binary(Json::binary_t&) { return false; }  // never in a text
  bool start_object(size_t) { return Open(Json::object()); }
  bool start_array(size_t) { return Open(Json::array()); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }
  bool key(std::string& name) {
    Level& level = levels_.back();
    auto& members = level.node->get_ref<Json::object_t&>();
    const auto [at, is_new] = members.emplace(std::move(name), nullptr);
    if (!is_new && out_->duplicates.size() < kMaxDuplicates) {
      out_->duplicates.push_back(Path() + at->first);
    }
    level.key = &at->first;
    level.member = &at->second;
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) {
    out_->error = error.what();
    return false;
  }

 private:
  struct Level {
    Json* node;
    const std::string* key = nullptr;  // of an object: the member that is read
    Json* member = nullptr;
  };

  Json* Put(Json value) {
    if (levels_.empty()) {
      out_->value = std::move(value);
      return &out_->value;
    }
    Level& level = levels_.back();
    if (level.member != nullptr) {
      *level.member = std::move(value);
      return level.member;
    }
    auto& elements = level.node->get_ref<Json::array_t&>();
    elements.push_back(std::move(value));
    return &elements.back();
  }
  bool Open(Json value) {
    if (levels_.size() > max_depth_) {
      out_->too_deep = true;
      return false;
    }
    levels_.push_back({Put(std::move(value))});
    return true;
  }
  bool Close() {
    levels_.pop_back();
    return true;
  }
  // Of the innermost object, with a dot at its end; elements of lists have no part in it.
  [[nodiscard]] std::string Path() const {
    std::string path;
    for (size_t i = 0; i + 1 < levels_.size(); ++i) {
      if (levels_[i].key != nullptr) path += *levels_[i].key + ".";
    }
    return path;
  }

  ReadJson* out_;
  size_t max_depth_;
  std::vector<Level> levels_;  // elements stay where they are: only the innermost one grows
};

}  // namespace

ReadJson ReadClientJson(std::string_view text, int max_depth) {
  ReadJson out;
  bool duplicates = false;
  if (auto value = TryParseJson(text, max_depth, &duplicates); value && !duplicates) {
    out.value = *std::move(value);
    return out;
  }
  Builder builder(&out, static_cast<size_t>(max_depth));
  if (!Json::sax_parse(text.begin(), text.end(), &builder) || out.too_deep) out.value = nullptr;
  return out;
}

}  // namespace envicutor::standalone

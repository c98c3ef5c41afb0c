#include "standalone/apiserver/http/json_reader.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>
#include <utility>

#include "common/base/json_parse.h"
#include "standalone/apiserver/core/members.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxDuplicates = 100;
constexpr size_t kMaxDuplicateBytes = 1024;  // of the name of one, which a client chooses

// For what is not in order: it words the error and names the keys that come twice. nlohmann's own
// builder with a callback costs twice as much, and such a key is lost.
class Builder {
 public:
  Builder(ReadJson* out, size_t max_depth) : out_(out), max_depth_(max_depth) {}

  // The interface that nlohmann's parser calls.
  bool null() { return Put(nullptr); }
  bool boolean(bool value) { return Put(value); }
  bool number_integer(int64_t value) { return Put(value); }
  bool number_unsigned(uint64_t value) { return Put(value); }
  bool number_float(double value, const std::string&) { return Put(value); }
  bool string(std::string& value) { return Put(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }  // never in a text
  bool start_object(size_t) { return Open(true); }
  bool start_array(size_t) { return Open(false); }
  bool end_object() {
    const Level level = Leave();
    Json value = Json::object();
    TakeMembers(&members_, level.first, &value.get_ref<Json::object_t&>(),
                [&](size_t index) { Repeated(index, level.first); });
    positions_.resize(level.first);
    return Put(std::move(value));
  }
  bool end_array() {
    const Level level = Leave();
    const auto first = elements_.begin() + static_cast<ptrdiff_t>(level.first);
    Json value =
        Json::array_t(std::make_move_iterator(first), std::make_move_iterator(elements_.end()));
    elements_.erase(first, elements_.end());
    return Put(std::move(value));
  }
  bool key(std::string& name) {
    members_.emplace_back(std::move(name), nullptr);
    positions_.push_back(position_++);
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) {
    out_->error = error.what();
    return false;
  }

  // After the whole text.
  void Finish() {
    std::sort(duplicates_.begin(), duplicates_.end());
    for (auto& [position, name] : duplicates_) out_->duplicates.push_back(std::move(name));
  }

 private:
  struct Level {
    bool object = false;
    size_t first = 0;  // of its members_ or elements_
  };

  bool Put(Json value) {
    if (levels_.empty()) {
      out_->value = std::move(value);
    } else if (levels_.back().object) {
      members_.back().second = std::move(value);
    } else {
      elements_.push_back(std::move(value));
    }
    return true;
  }
  bool Open(bool object) {
    if (levels_.size() > max_depth_) {
      out_->too_deep = true;
      return false;
    }
    levels_.push_back({object, object ? members_.size() : elements_.size()});
    return true;
  }
  Level Leave() {
    const Level level = levels_.back();
    levels_.pop_back();
    return level;
  }
  // A member of the object that is closed, whose members begin at `first`. The first of a text are
  // kept.
  void Repeated(size_t index, size_t first) {
    const size_t position = positions_[index];
    if (duplicates_.size() == kMaxDuplicates) {
      if (duplicates_.front().first < position) return;
      std::pop_heap(duplicates_.begin(), duplicates_.end());
      duplicates_.pop_back();
    }
    duplicates_.emplace_back(position, NameOf(members_[index].first, first));
    std::push_heap(duplicates_.begin(), duplicates_.end());
  }
  // With the path to it; elements of lists have no part in that.
  [[nodiscard]] std::string NameOf(std::string_view key, size_t first) const {
    std::string name;
    const auto add = [&name](std::string_view text) {
      name += text.substr(0, kMaxDuplicateBytes - name.size());
    };
    for (size_t i = 0; i < levels_.size(); ++i) {
      if (!levels_[i].object) continue;
      // The member that is read is the last before those of the next object.
      size_t next = first;
      for (size_t inner = levels_.size() - 1; inner > i; --inner) {
        if (levels_[inner].object) next = levels_[inner].first;
      }
      add(members_[next - 1].first);
      add(".");
    }
    add(key);
    return name;
  }

  ReadJson* out_;
  size_t max_depth_;
  std::vector<Level> levels_;
  std::vector<Json::object_t::value_type> members_;  // of the objects that are open
  std::vector<size_t> positions_;                    // theirs among all keys of the text
  std::vector<Json> elements_;                       // of the arrays that are open
  size_t position_ = 0;
  std::vector<std::pair<size_t, std::string>> duplicates_;  // a heap: the last of the text first
};

}  // namespace

void MakeIntegers(Json* value) {
  constexpr double kExact = 9007199254740992;  // 2^53: to it the text is the same
  if (value->is_number_float()) {
    const double number = value->get<double>();
    if (std::trunc(number) != number || std::abs(number) > kExact) return;
    if (number < 0) {
      *value = static_cast<int64_t>(number);
    } else if (!std::signbit(number)) {  // -0 is written so
      *value = static_cast<uint64_t>(number);
    }
  } else if (value->is_structured()) {
    for (Json& element : *value) MakeIntegers(&element);
  }
}

ReadJson ReadClientJson(std::string_view text, int max_depth) {
  ReadJson out;
  bool duplicates = false;
  if (auto value = TryParseJson(text, max_depth, &duplicates); value && !duplicates) {
    out.value = *std::move(value);
    MakeIntegers(&out.value);
    return out;
  }
  Builder builder(&out, static_cast<size_t>(max_depth));
  if (Json::sax_parse(text.begin(), text.end(), &builder) && !out.too_deep) {
    builder.Finish();
    MakeIntegers(&out.value);
  } else {
    out.value = nullptr;
  }
  return out;
}

}  // namespace envicutor::standalone

#include "common/base/json_parse.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/base/json_text.h"

namespace envicutor {
namespace {

// A frame of the recursion has about 200 bytes.
constexpr int kMaxRecursion = 512;

class Parser {
 public:
  Parser(std::string_view text, int max_depth)
      : at_(text.data()), end_(text.data() + text.size()), depth_left_(max_depth) {
    members_.reserve(std::min<size_t>(text.size() / 16, 64));
  }

  bool Document(Json* out) {
    if (!Value(out)) return false;
    SkipSpace();
    return at_ == end_;
  }
  [[nodiscard]] bool duplicates() const { return duplicates_; }

 private:
  void SkipSpace() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
  }
  bool Take(char wanted) {
    if (at_ == end_ || *at_ != wanted) return false;
    ++at_;
    return true;
  }
  bool TakeWord(std::string_view word) {
    if (std::string_view(at_, static_cast<size_t>(end_ - at_)).substr(0, word.size()) != word) {
      return false;
    }
    at_ += word.size();
    return true;
  }

  bool Value(Json* out) {
    SkipSpace();
    if (at_ == end_) return false;
    switch (*at_) {
      case '{':
        return Object(out);
      case '[':
        return Array(out);
      case '"': {
        std::string text;
        if (!String(&text)) return false;
        Make(out, std::move(text));
        return true;
      }
      case 't':
        Make(out, true);
        return TakeWord("true");
      case 'f':
        Make(out, false);
        return TakeWord("false");
      case 'n':
        return TakeWord("null");
      default:
        return Number(out);
    }
  }

  // Of a null, which owns nothing that would have to be destroyed.
  template <class T>
  static void Make(Json* out, T&& value) {
    std::construct_at(out, std::forward<T>(value));
  }

  // Members are gathered on a stack that all objects share, so that an object's
  // own memory is taken once and fits; a text of ours has its keys in order,
  // any other is sorted once.
  bool Object(Json* out) {
    ++at_;
    if (--depth_left_ < 0) return false;
    Make(out, Json::value_t::object);
    SkipSpace();
    if (!Take('}')) {
      const size_t first = members_.size();
      bool sorted = true;
      do {
        SkipSpace();
        std::string key;
        if (at_ == end_ || *at_ != '"' || !String(&key)) return false;
        SkipSpace();
        if (!Take(':')) return false;
        Json value;
        if (!Value(&value)) return false;
        sorted = sorted && (members_.size() == first || members_.back().first < key);
        members_.emplace_back(std::move(key), std::move(value));
        SkipSpace();
      } while (Take(','));
      if (!Take('}')) return false;
      Close(first, sorted, &out->get_ref<Json::object_t&>());
    }
    ++depth_left_;
    return true;
  }

  void Close(size_t first, bool sorted, Json::object_t* object) {
    const auto begin = members_.begin() + static_cast<ptrdiff_t>(first);
    if (!sorted) {
      std::stable_sort(begin, members_.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
    }
    object->Reserve(members_.size() - first);
    for (auto member = begin; member != members_.end(); ++member) {
      if (!sorted && member + 1 != members_.end() && member->first == (member + 1)->first) {
        duplicates_ = true;
        continue;
      }
      object->AppendSorted(std::move(member->first), std::move(member->second));
    }
    members_.erase(begin, members_.end());
  }

  bool Array(Json* out) {
    ++at_;
    if (--depth_left_ < 0) return false;
    Make(out, Json::value_t::array);
    SkipSpace();
    if (!Take(']')) {
      const size_t first = elements_.size();
      do {
        Json value;
        if (!Value(&value)) return false;
        elements_.push_back(std::move(value));
        SkipSpace();
      } while (Take(','));
      if (!Take(']')) return false;
      const auto begin = elements_.begin() + static_cast<ptrdiff_t>(first);
      out->get_ref<Json::array_t&>().assign(std::make_move_iterator(begin),
                                            std::make_move_iterator(elements_.end()));
      elements_.erase(begin, elements_.end());
    }
    ++depth_left_;
    return true;
  }

  bool String(std::string* out) {
    const char* run = ++at_;
    for (;;) {
      at_ = internal::SkipPlain(at_, end_);
      if (at_ == end_) return false;
      if (*at_ == '"') {
        out->append(run, static_cast<size_t>(at_ - run));
        ++at_;
        return true;
      }
      if (*at_ == '\\') {
        out->append(run, static_cast<size_t>(at_ - run));
        ++at_;
        if (!Escape(out)) return false;
        run = at_;
      } else {
        const auto byte = static_cast<unsigned char>(*at_);
        const int bytes = byte < 0x80 ? 0 : internal::Utf8Bytes(at_, end_);
        if (bytes == 0) return false;
        at_ += bytes;
      }
    }
  }

  // Behind the backslash.
  bool Escape(std::string* out) {
    if (at_ == end_) return false;
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const char letter = *at_++;
    if (letter != 'u') {
      const size_t which = kLetters.find(letter);
      if (which == std::string_view::npos) return false;
      *out += kMeanings[which];
      return true;
    }
    uint32_t point = 0;
    if (!FourDigits(&point)) return false;
    if (point >= 0xDC00 && point <= 0xDFFF) return false;
    if (point >= 0xD800 && point <= 0xDBFF) {
      uint32_t low = 0;
      if (!Take('\\') || !Take('u') || !FourDigits(&low) || low < 0xDC00 || low > 0xDFFF) {
        return false;
      }
      point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
    }
    AppendUtf8(point, out);
    return true;
  }

  bool FourDigits(uint32_t* out) {
    if (end_ - at_ < 4) return false;
    const auto [stop, error] = std::from_chars(at_, at_ + 4, *out, 16);
    if (error != std::errc() || stop != at_ + 4) return false;
    at_ += 4;
    return true;
  }

  static void AppendUtf8(uint32_t point, std::string* out) {
    const auto tail = [&](int shift) {
      *out += static_cast<char>(0x80 | ((point >> shift) & 0x3F));
    };
    if (point < 0x80) {
      *out += static_cast<char>(point);
    } else if (point < 0x800) {
      *out += static_cast<char>(0xC0 | (point >> 6));
      tail(0);
    } else if (point < 0x10000) {
      *out += static_cast<char>(0xE0 | (point >> 12));
      tail(6);
      tail(0);
    } else {
      *out += static_cast<char>(0xF0 | (point >> 18));
      tail(12);
      tail(6);
      tail(0);
    }
  }

  bool Digits() {
    const char* first = at_;
    while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    return at_ != first;
  }

  // Integers are int64 with a sign and uint64 without; those that fit neither
  // are doubles.
  bool Number(Json* out) {
    const char* first = at_;
    const bool negative = Take('-');
    if (!Take('0') && !Digits()) return false;
    bool integer = true;
    if (Take('.')) {
      integer = false;
      if (!Digits()) return false;
    }
    if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
      integer = false;
      ++at_;
      if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      if (!Digits()) return false;
    }
    if (integer && (negative ? Convert<int64_t>(first, out) : Convert<uint64_t>(first, out))) {
      return true;
    }
    return Convert<double>(first, out);
  }

  // Not where it is out of range; of a double that may be one too small, which
  // is none for nlohmann.
  template <class T>
  bool Convert(const char* first, Json* out) {
    T number = 0;
    const auto [stop, error] = std::from_chars(first, at_, number);
    if (error != std::errc() || stop != at_) return false;
    Make(out, number);
    return true;
  }

  const char* at_;
  const char* end_;
  int depth_left_;
  bool duplicates_ = false;
  std::vector<Json::object_t::value_type> members_;  // of the objects that are open
  std::vector<Json> elements_;                       // of the arrays that are open
};

}  // namespace

std::optional<Json> TryParseJson(std::string_view text, int max_depth, bool* duplicates) {
  std::optional<Json> value(std::in_place);
  Parser parser(text, std::min(max_depth, kMaxRecursion));
  if (!parser.Document(&*value)) return std::nullopt;
  *duplicates = parser.duplicates();
  return value;
}

}  // namespace envicutor

// Writing JSON text. The bytes are those of nlohmann's dump(), which looks at
// every one of them with a state machine; here what needs no change is copied
// in runs.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <utility>

#include "common/base/json.h"
#include "common/base/json_text.h"

namespace envicutor {
namespace {

constexpr size_t kFirstScratch = size_t{4} << 10;
constexpr size_t kSlack = 16;  // behind a string's bytes: its quotes, one escape, a whole word
constexpr size_t kMaxKeptScratch = size_t{256} << 10;

std::string DumpSlowly(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// Text grows in a buffer that its thread keeps, and is copied once into memory
// that fits: it is often kept in a cache. std::string's push_back alone would
// take half of the time.
class Writer {
 public:
  Writer() : at_(Kept().data.get()), begin_(at_), end_(at_ + Kept().size) {}
  ~Writer() {
    if (Kept().size > kMaxKeptScratch) Kept() = {};
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  [[nodiscard]] std::string_view Text() const {
    return {begin_, static_cast<size_t>(at_ - begin_)};
  }

  void Value(const Json& value) {
    switch (value.type()) {
      case Json::value_t::null:
        return Append("null");
      case Json::value_t::boolean:
        return Append(value.get<bool>() ? "true" : "false");
      case Json::value_t::string:
        return String(value.get_ref<const std::string&>());
      case Json::value_t::number_integer:
        return Number(value.get<int64_t>());
      case Json::value_t::number_unsigned:
        return Number(value.get<uint64_t>());
      case Json::value_t::object:
        return Object(value.get_ref<const Json::object_t&>());
      case Json::value_t::array:
        return Array(value.get_ref<const Json::array_t&>());
      default:
        return Append(DumpSlowly(value, -1));
    }
  }

  void String(std::string_view text) {
    const size_t before = Text().size();
    const char* from = text.data();
    const char* const end = from + text.size();
    Need(text.size() + kSlack);
    *at_++ = '"';
    while (from != end) {
      while (end - from >= 8) {
        std::memcpy(at_, from, 8);
        const int plain = internal::PlainOfEight(from);
        from += plain;
        at_ += plain;
        if (plain < 8) break;
      }
      while (from != end && internal::IsPlain(*from)) *at_++ = *from++;
      if (from == end) break;
      if (static_cast<unsigned char>(*from) < 0x80) {
        Escape(*from++);
        Need(static_cast<size_t>(end - from) + kSlack);
        continue;
      }
      const int bytes = internal::Utf8Bytes(from, end);
      if (bytes == 0) {
        at_ = begin_ + before;
        return Append(DumpSlowly(Json(std::string(text)), -1));
      }
      at_ = std::copy_n(from, bytes, at_);
      from += bytes;
    }
    *at_++ = '"';
  }

 private:
  struct Scratch {
    std::unique_ptr<char[]> data;
    size_t size = 0;
  };
  static Scratch& Kept() {
    thread_local Scratch scratch;
    return scratch;
  }

  void Need(size_t bytes) {
    if (static_cast<size_t>(end_ - at_) < bytes) Grow(bytes);
  }
  void Grow(size_t bytes) {
    const std::string_view text = Text();
    Scratch larger;
    larger.size = std::max({kFirstScratch, Kept().size * 2, text.size() + bytes});
    larger.data.reset(new char[larger.size]);
    if (!text.empty()) std::memcpy(larger.data.get(), text.data(), text.size());
    Kept() = std::move(larger);
    begin_ = Kept().data.get();
    at_ = begin_ + text.size();
    end_ = begin_ + Kept().size;
  }
  void Put(char c) {
    Need(1);
    *at_++ = c;
  }
  void Append(std::string_view text) {
    if (text.empty()) return;
    Need(text.size());
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  template <class T>
  void Number(T number) {
    constexpr size_t kMaxDigits = 20;
    Need(kMaxDigits);
    at_ = std::to_chars(at_, at_ + kMaxDigits, number).ptr;
  }

  // Takes less than kSlack.
  void Escape(char c) {
    constexpr std::string_view kEscaped = "\"\\\b\f\n\r\t";
    constexpr std::string_view kLetters = "\"\\bfnrt";
    constexpr std::string_view kHex = "0123456789abcdef";
    *at_++ = '\\';
    if (const size_t which = kEscaped.find(c); which != std::string_view::npos) {
      *at_++ = kLetters[which];
      return;
    }
    const auto byte = static_cast<unsigned char>(c);
    for (const char digit : {'u', '0', '0', kHex[byte >> 4], kHex[byte & 15]}) *at_++ = digit;
  }

  void Object(const Json::object_t& object) {
    char before = '{';
    for (const auto& [key, value] : object) {
      Put(std::exchange(before, ','));
      String(key);
      Put(':');
      Value(value);
    }
    if (object.empty()) Put('{');
    Put('}');
  }

  void Array(const Json::array_t& array) {
    char before = '[';
    for (const Json& value : array) {
      Put(std::exchange(before, ','));
      Value(value);
    }
    if (array.empty()) Put('[');
    Put(']');
  }

  char* at_;  // between these two, which are those of Kept()
  char* begin_;
  char* end_;
};

}  // namespace

void AppendJson(const Json& value, std::string* out) {
  Writer writer;
  writer.Value(value);
  *out += writer.Text();
}

void AppendJsonString(std::string_view text, std::string* out) {
  Writer writer;
  writer.String(text);
  *out += writer.Text();
}

std::string DumpJson(const Json& value, int indent) {
  if (indent >= 0) return DumpSlowly(value, indent);
  Writer writer;
  writer.Value(value);
  return std::string(writer.Text());
}

}  // namespace envicutor

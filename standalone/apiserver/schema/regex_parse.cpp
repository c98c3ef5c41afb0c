// Pattern -> syntax tree.
#include <algorithm>
#include <array>
#include <string>

#include "standalone/apiserver/schema/regex_tree.h"

namespace envicutor::standalone::schema::regex {
namespace {

constexpr int kMaxRepeat = 1000;
constexpr int kMaxDepth = 200;
constexpr char32_t kMaxRune = 0x10FFFF;

NodePtr MakeNode(Node::Kind kind) {
  auto node = std::make_unique<Node>();
  node->kind = kind;
  return node;
}

const Ranges kDigit = {{'0', '9'}};
const Ranges kWord = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const Ranges kSpace = {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}};

Ranges Complement(Ranges ranges) {
  std::sort(ranges.begin(), ranges.end());
  Ranges out;
  char32_t next = 0;
  for (const auto& [low, high] : ranges) {
    if (low > next) out.emplace_back(next, low - 1);
    next = std::max<char32_t>(next, high + 1);
  }
  if (next <= kMaxRune) out.emplace_back(next, kMaxRune);
  return out;
}

struct PosixClass {
  std::string_view name;
  Ranges ranges;
};
const std::array<PosixClass, 13> kPosix = {{
    {"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
    {"alpha", {{'A', 'Z'}, {'a', 'z'}}},
    {"ascii", {{0, 0x7F}}},
    {"blank", {{'\t', '\t'}, {' ', ' '}}},
    {"cntrl", {{0, 0x1F}, {0x7F, 0x7F}}},
    {"digit", {{'0', '9'}}},
    {"graph", {{'!', '~'}}},
    {"lower", {{'a', 'z'}}},
    {"print", {{' ', '~'}}},
    {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
    {"space", {{'\t', '\r'}, {' ', ' '}}},
    {"upper", {{'A', 'Z'}}},
    {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}},
}};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<NodePtr> Parse() {
    NodePtr node = Alternation(0);
    if (error_.empty() && pos_ < text_.size()) Fail("unexpected )");
    if (!error_.empty()) return InvalidArgument("error parsing regexp: " + error_);
    return node;
  }

 private:
  struct Flags {
    bool fold = false;
    bool dot_newline = false;
    bool multi_line = false;
    bool swap_greed = false;
  };

  void Fail(std::string message) {
    if (error_.empty()) error_ = std::move(message);
    pos_ = text_.size();
  }
  [[nodiscard]] bool AtEnd() const { return pos_ >= text_.size(); }
  [[nodiscard]] bool Looking(std::string_view s) const { return text_.substr(pos_).starts_with(s); }
  bool Take(std::string_view s) {
    if (!Looking(s)) return false;
    pos_ += s.size();
    return true;
  }

  NodePtr Alternation(int depth) {
    if (depth > kMaxDepth) {
      Fail("expression nests too deeply");
      return MakeNode(Node::Kind::kEmpty);
    }
    const Flags saved = flags_;
    auto alternate = MakeNode(Node::Kind::kAlternate);
    do {
      alternate->children.push_back(Concatenation(depth));
    } while (Take("|"));
    flags_ = saved;
    if (alternate->children.size() == 1) return std::move(alternate->children.front());
    return alternate;
  }

  NodePtr Concatenation(int depth) {
    auto concat = MakeNode(Node::Kind::kConcat);
    while (!AtEnd() && text_[pos_] != '|' && text_[pos_] != ')') {
      if (Take("\\Q")) {
        while (!AtEnd() && !Take("\\E"))
          concat->children.push_back(Literal(DecodeUtf8(text_, &pos_)));
        continue;
      }
      NodePtr atom = Atom(depth);
      if (atom == nullptr) continue;  // flags only
      concat->children.push_back(Repeat(std::move(atom)));
    }
    return concat;
  }

  NodePtr Repeat(NodePtr atom) {
    bool repeated = false;
    while (!AtEnd()) {
      int min = 0;
      int max = -1;
      if (Take("*")) {
      } else if (Take("+")) {
        min = 1;
      } else if (Take("?")) {
        max = 1;
      } else if (text_[pos_] != '{' || !Bounds(&min, &max)) {
        break;
      }
      if (repeated) {
        Fail("invalid nested repetition operator");
        break;
      }
      repeated = true;
      auto node = MakeNode(Node::Kind::kRepeat);
      node->min = min;
      node->max = max;
      node->lazy = Take("?") != flags_.swap_greed;
      node->children.push_back(std::move(atom));
      atom = std::move(node);
    }
    return atom;
  }

  // "{n}", "{n,}", "{n,m}"; anything else is a literal brace, as in RE2.
  bool Bounds(int* min, int* max) {
    size_t p = pos_ + 1;
    const auto number = [&](int* out) {
      const size_t begin = p;
      int value = 0;
      while (p < text_.size() && text_[p] >= '0' && text_[p] <= '9') {
        value = std::min(value * 10 + (text_[p] - '0'), kMaxRepeat + 1);
        ++p;
      }
      *out = value;
      return p > begin;
    };
    if (!number(min)) return false;
    *max = *min;
    if (p < text_.size() && text_[p] == ',') {
      ++p;
      if (!number(max)) *max = -1;
    }
    if (p >= text_.size() || text_[p] != '}') return false;
    pos_ = p + 1;
    if (*min > kMaxRepeat || *max > kMaxRepeat || (*max >= 0 && *max < *min)) {
      Fail("invalid repeat count");
    }
    return true;
  }

  NodePtr Atom(int depth) {
    const char c = text_[pos_];
    switch (c) {
      case '(':
        return Group(depth);
      case '[':
        return Class();
      case '.': {
        ++pos_;
        auto node = MakeNode(Node::Kind::kSet);
        node->negated = true;
        if (!flags_.dot_newline) node->ranges = {{'\n', '\n'}};
        return node;
      }
      case '^':
        ++pos_;
        return Assert(flags_.multi_line ? Assertion::kLineBegin : Assertion::kTextBegin);
      case '$':
        ++pos_;
        return Assert(flags_.multi_line ? Assertion::kLineEnd : Assertion::kTextEnd);
      case '*':
      case '+':
      case '?':
        Fail(std::string("missing argument to repetition operator: ") + c);
        return nullptr;
      case '\\':
        return Escape();
      default:
        return Literal(DecodeUtf8(text_, &pos_));
    }
  }

  static NodePtr Assert(Assertion assertion) {
    auto node = MakeNode(Node::Kind::kAssert);
    node->assertion = assertion;
    return node;
  }

  NodePtr Literal(char32_t rune) {
    auto node = MakeNode(Node::Kind::kSet);
    node->ranges = {{rune, rune}};
    Fold(&node->ranges);
    return node;
  }

  // ASCII only: what patterns of schemas need.
  void Fold(Ranges* ranges) const {
    if (!flags_.fold) return;
    const Ranges original = *ranges;
    for (const auto& [low, high] : original) {
      for (char32_t r = std::max<char32_t>(low, 'A'); r <= std::min<char32_t>(high, 'z'); ++r) {
        if (r >= 'A' && r <= 'Z') ranges->emplace_back(r + 32, r + 32);
        if (r >= 'a' && r <= 'z') ranges->emplace_back(r - 32, r - 32);
      }
    }
  }

  NodePtr Group(int depth) {
    ++pos_;
    const Flags saved = flags_;
    if (Take("?")) {
      if (Take("P<") || Looking("<")) {
        Take("<");
        const size_t close = text_.find('>', pos_);
        if (close == std::string_view::npos || close == pos_) {
          Fail("invalid named capture");
          return nullptr;
        }
        pos_ = close + 1;
      } else {
        bool on = true;
        for (; !AtEnd() && text_[pos_] != ':' && text_[pos_] != ')'; ++pos_) {
          switch (text_[pos_]) {
            case '-':
              on = false;
              break;
            case 'i':
              flags_.fold = on;
              break;
            case 's':
              flags_.dot_newline = on;
              break;
            case 'm':
              flags_.multi_line = on;
              break;
            case 'U':
              flags_.swap_greed = on;
              break;
            default:
              Fail("invalid or unsupported Perl syntax");
              return nullptr;
          }
        }
        if (Take(")")) return nullptr;  // the flags hold to the end of the group around
        if (!Take(":")) {
          Fail("missing closing )");
          return nullptr;
        }
      }
    }
    NodePtr inner = Alternation(depth + 1);
    flags_ = saved;
    if (!Take(")")) Fail("missing closing )");
    return inner;
  }

  NodePtr Escape() {
    if (pos_ + 1 >= text_.size()) {
      Fail("trailing backslash at end of expression");
      return nullptr;
    }
    switch (text_[pos_ + 1]) {
      case 'b':
        pos_ += 2;
        return Assert(Assertion::kWordBoundary);
      case 'B':
        pos_ += 2;
        return Assert(Assertion::kNotWordBoundary);
      case 'A':
        pos_ += 2;
        return Assert(Assertion::kTextBegin);
      case 'z':
        pos_ += 2;
        return Assert(Assertion::kTextEnd);
      default:
        break;
    }
    auto node = MakeNode(Node::Kind::kSet);
    if (PerlClass(&node->ranges)) return node;
    return Literal(EscapedRune());
  }

  // \d \w \s and their complements.
  bool PerlClass(Ranges* ranges) {
    if (pos_ + 1 >= text_.size() || text_[pos_] != '\\') return false;
    Ranges set;
    switch (text_[pos_ + 1]) {
      case 'd':
        set = kDigit;
        break;
      case 'D':
        set = Complement(kDigit);
        break;
      case 'w':
        set = kWord;
        break;
      case 'W':
        set = Complement(kWord);
        break;
      case 's':
        set = kSpace;
        break;
      case 'S':
        set = Complement(kSpace);
        break;
      default:
        return false;
    }
    pos_ += 2;
    ranges->insert(ranges->end(), set.begin(), set.end());
    return true;
  }

  char32_t EscapedRune() {
    ++pos_;  // the backslash
    if (AtEnd()) {
      Fail("trailing backslash at end of expression");
      return 0;
    }
    const char c = text_[pos_++];
    switch (c) {
      case 'a':
        return 7;
      case 'f':
        return '\f';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'v':
        return '\v';
      case 'x':
        return HexRune();
      default:
        break;
    }
    const bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (word || static_cast<unsigned char>(c) >= 0x80) {
      Fail(std::string("invalid escape sequence: \\") + c);
      return 0;
    }
    return static_cast<char32_t>(c);
  }

  char32_t HexRune() {
    const bool braced = Take("{");
    char32_t value = 0;
    size_t digits = 0;
    while (!AtEnd() && digits < (braced ? 8U : 2U)) {
      const char h = text_[pos_];
      char32_t digit = 0;
      if (h >= '0' && h <= '9') {
        digit = static_cast<char32_t>(h - '0');
      } else if ((h | 32) >= 'a' && (h | 32) <= 'f') {
        digit = static_cast<char32_t>((h | 32) - 'a' + 10);
      } else {
        break;
      }
      value = std::min<char32_t>(value * 16 + digit, kMaxRune + 1);
      ++digits;
      ++pos_;
    }
    if (digits == 0 || value > kMaxRune || (braced ? !Take("}") : digits != 2)) {
      Fail("invalid escape sequence: \\x");
    }
    return value;
  }

  NodePtr Class() {
    ++pos_;
    auto node = MakeNode(Node::Kind::kSet);
    node->negated = Take("^");
    bool first = true;
    while (first || (!AtEnd() && text_[pos_] != ']')) {
      if (AtEnd()) break;
      first = false;
      if (Looking("[:")) {
        if (!Posix(&node->ranges)) return node;
        continue;
      }
      if (PerlClass(&node->ranges)) continue;
      const char32_t low = ClassRune();
      char32_t high = low;
      if (Looking("-") && pos_ + 1 < text_.size() && text_[pos_ + 1] != ']') {
        ++pos_;
        high = ClassRune();
      }
      if (high < low) Fail("invalid character class range");
      node->ranges.emplace_back(low, high);
    }
    if (!Take("]")) Fail("missing closing ]");
    Fold(&node->ranges);
    return node;
  }

  char32_t ClassRune() {
    if (AtEnd()) {
      Fail("missing closing ]");
      return 0;
    }
    return text_[pos_] == '\\' ? EscapedRune() : DecodeUtf8(text_, &pos_);
  }

  bool Posix(Ranges* ranges) {
    const size_t end = text_.find(":]", pos_ + 2);
    std::string_view name =
        end == std::string_view::npos ? "" : text_.substr(pos_ + 2, end - pos_ - 2);
    const bool negated = name.starts_with("^");
    if (negated) name.remove_prefix(1);
    for (const PosixClass& c : kPosix) {
      if (c.name != name) continue;
      const Ranges set = negated ? Complement(c.ranges) : c.ranges;
      ranges->insert(ranges->end(), set.begin(), set.end());
      pos_ = end + 2;
      return true;
    }
    Fail("invalid character class range");
    return false;
  }

  std::string_view text_;
  size_t pos_ = 0;
  Flags flags_;
  std::string error_;
};

}  // namespace

Result<NodePtr> ParsePattern(std::string_view pattern) { return Parser(pattern).Parse(); }

}  // namespace envicutor::standalone::schema::regex

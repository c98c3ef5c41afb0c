// Pattern -> syntax tree -> instructions.
#include <algorithm>
#include <array>
#include <memory>

#include "standalone/apiserver/schema/regex.h"
#include "standalone/apiserver/schema/regex_program.h"

namespace envicutor::standalone::schema {
namespace {

constexpr size_t kMaxPatternBytes = 8U << 10U;
constexpr size_t kMaxInstructions = 20'000;
constexpr int kMaxRepeat = 1000;
constexpr int kMaxDepth = 200;
constexpr char32_t kMaxRune = 0x10FFFF;

using Ranges = std::vector<std::pair<char32_t, char32_t>>;
using Op = RegexInstruction::Op;
using Assertion = RegexInstruction::Assertion;

struct Node {
  enum class Kind { kEmpty, kSet, kAssert, kConcat, kAlternate, kRepeat };
  Kind kind = Kind::kEmpty;
  Ranges ranges;
  bool negated = false;
  Assertion assertion = Assertion::kTextBegin;
  int min = 0;
  int max = -1;  // -1: no bound
  bool lazy = false;
  std::vector<std::unique_ptr<Node>> children;
};
using NodePtr = std::unique_ptr<Node>;

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

class Emitter {
 public:
  // False when the program would be too large.
  bool Emit(const Node& node) {
    if (code_.size() > kMaxInstructions) return false;
    switch (node.kind) {
      case Node::Kind::kEmpty:
        return true;
      case Node::Kind::kSet: {
        RegexInstruction in;
        in.op = Op::kSet;
        in.ranges = node.ranges;
        in.negated = node.negated;
        code_.push_back(std::move(in));
        return true;
      }
      case Node::Kind::kAssert: {
        RegexInstruction in;
        in.op = Op::kAssert;
        in.assertion = node.assertion;
        code_.push_back(std::move(in));
        return true;
      }
      case Node::Kind::kConcat:
        return std::all_of(node.children.begin(), node.children.end(),
                           [this](const NodePtr& child) { return Emit(*child); });
      case Node::Kind::kAlternate:
        return Alternate(node);
      case Node::Kind::kRepeat:
        return Repeat(node);
    }
    return false;
  }

  std::vector<RegexInstruction> Finish() {
    Add(Op::kMatch);
    return std::move(code_);
  }

 private:
  size_t Add(Op op) {
    code_.emplace_back();
    code_.back().op = op;
    return code_.size() - 1;
  }

  bool Alternate(const Node& node) {
    std::vector<size_t> jumps;
    for (size_t i = 0; i < node.children.size(); ++i) {
      const bool last = i + 1 == node.children.size();
      const size_t split = last ? 0 : Add(Op::kSplit);
      if (!last) code_[split].x = code_.size();
      if (!Emit(*node.children[i])) return false;
      if (!last) {
        jumps.push_back(Add(Op::kJump));
        code_[split].y = code_.size();
      }
    }
    for (const size_t jump : jumps) code_[jump].x = code_.size();
    return true;
  }

  void SetSplit(size_t split, size_t inside, size_t outside, bool lazy) {
    code_[split].x = lazy ? outside : inside;
    code_[split].y = lazy ? inside : outside;
  }

  bool Repeat(const Node& node) {
    const Node& child = *node.children.front();
    for (int i = 0; i < node.min; ++i) {
      const size_t before = code_.size();
      if (!Emit(child)) return false;
      if (code_.size() == before) break;  // the empty text as often as one likes: ((){1000}){1000}
    }
    if (node.max < 0) {
      const size_t split = Add(Op::kSplit);
      if (!Emit(child)) return false;
      code_[Add(Op::kJump)].x = split;
      SetSplit(split, split + 1, code_.size(), node.lazy);
      return true;
    }
    std::vector<size_t> splits;
    for (int i = node.min; i < node.max; ++i) {
      splits.push_back(Add(Op::kSplit));
      if (!Emit(child)) return false;
    }
    for (const size_t split : splits) SetSplit(split, split + 1, code_.size(), node.lazy);
    return true;
  }

  std::vector<RegexInstruction> code_;
};

}  // namespace

Result<Regex> Regex::Compile(std::string_view pattern) {
  if (pattern.size() > kMaxPatternBytes) {
    return InvalidArgument("the regular expression has more than 8192 bytes");
  }
  ENVICUTOR_ASSIGN(const NodePtr tree, Parser(pattern).Parse());
  Emitter emitter;
  if (!emitter.Emit(*tree)) return InvalidArgument("error parsing regexp: expression too large");
  auto program = std::make_shared<RegexProgram>();
  program->code = emitter.Finish();
  Regex regex;
  regex.program_ = std::move(program);
  return regex;
}

size_t Regex::size() const { return program_->code.size(); }

}  // namespace envicutor::standalone::schema

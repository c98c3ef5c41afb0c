#include "standalone/apiserver/schema/cel/lexer.h"

#include <array>
#include <charconv>
#include <cstdlib>

namespace envicutor::standalone::schema::cel {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsIdentStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsIdentPart(char c) { return IsIdentStart(c) || IsDigit(c); }

// Longest first.
constexpr std::array<std::string_view, 26> kSymbols = {
    "&&", "||", "==", "!=", "<=", ">=", ".?", "[?", "(", ")", "[", "]", "{",
    "}",  ".",  ",",  "?",  ":",  "<",  ">",  "+",  "-", "*", "/", "%", "!"};

bool Mistake(ParseError* error, size_t offset, std::string message) {
  error->offset = offset;
  error->message = std::move(message);
  return false;
}

}  // namespace

void AppendUtf8(char32_t rune, std::string* out) {
  const auto push = [out](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (rune < 0x80) {
    push(rune);
  } else if (rune < 0x800) {
    push(0xC0U | (rune >> 6U));
    push(0x80U | (rune & 0x3FU));
  } else if (rune < 0x10000) {
    push(0xE0U | (rune >> 12U));
    push(0x80U | ((rune >> 6U) & 0x3FU));
    push(0x80U | (rune & 0x3FU));
  } else {
    push(0xF0U | (rune >> 18U));
    push(0x80U | ((rune >> 12U) & 0x3FU));
    push(0x80U | ((rune >> 6U) & 0x3FU));
    push(0x80U | (rune & 0x3FU));
  }
}

void Lexer::SkipSpace() {
  while (pos_ < source_.size()) {
    const char c = source_[pos_];
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
      ++pos_;
    } else if (source_.substr(pos_).starts_with("//")) {
      pos_ = std::min(source_.find('\n', pos_), source_.size());
    } else {
      return;
    }
  }
}

bool Lexer::Next(Token* token, ParseError* error) {
  SkipSpace();
  *token = Token();
  token->offset = pos_;
  if (pos_ >= source_.size()) return true;
  const std::string_view rest = source_.substr(pos_);
  const char c = rest.front();
  if (IsDigit(c) || (c == '.' && rest.size() > 1 && IsDigit(rest[1]))) return Number(token, error);
  // r"", b"", rb"" and so on.
  size_t prefix = 0;
  while (prefix < 2 && prefix < rest.size() &&
         std::string_view("rRbB").find(rest[prefix]) != std::string_view::npos) {
    ++prefix;
  }
  if (prefix < rest.size() && (rest[prefix] == '"' || rest[prefix] == '\'')) {
    return Quoted(token, prefix, error);
  }
  if (IsIdentStart(c)) {
    size_t end = 1;
    while (end < rest.size() && IsIdentPart(rest[end])) ++end;
    token->type = Token::Type::kIdent;
    token->text = std::string(rest.substr(0, end));
    pos_ += end;
    return true;
  }
  for (const std::string_view symbol : kSymbols) {
    if (!rest.starts_with(symbol)) continue;
    token->type = Token::Type::kSymbol;
    token->text = std::string(symbol);
    pos_ += symbol.size();
    return true;
  }
  return Mistake(error, pos_, std::string("Syntax error: token recognition error at: '") + c + "'");
}

bool Lexer::Number(Token* token, ParseError* error) {
  const std::string_view rest = source_.substr(pos_);
  size_t end = 0;
  const bool hex = rest.starts_with("0x") || rest.starts_with("0X");
  bool floating = false;
  if (hex) {
    end = 2;
    while (end < rest.size() && std::isxdigit(static_cast<unsigned char>(rest[end])) != 0) ++end;
  } else {
    while (end < rest.size() && IsDigit(rest[end])) ++end;
    if (end + 1 < rest.size() && rest[end] == '.' && IsDigit(rest[end + 1])) {
      floating = true;
      ++end;
      while (end < rest.size() && IsDigit(rest[end])) ++end;
    }
    if (end < rest.size() && (rest[end] == 'e' || rest[end] == 'E')) {
      size_t p = end + 1;
      if (p < rest.size() && (rest[p] == '+' || rest[p] == '-')) ++p;
      if (p < rest.size() && IsDigit(rest[p])) {
        floating = true;
        end = p;
        while (end < rest.size() && IsDigit(rest[end])) ++end;
      }
    }
  }
  const std::string text(rest.substr(0, end));
  if (floating) {
    token->type = Token::Type::kDouble;
    token->number = std::strtod(text.c_str(), nullptr);
  } else {
    token->type = Token::Type::kInt;
    const char* begin = text.data() + (hex ? 2 : 0);
    const char* stop = text.data() + text.size();
    const auto [ptr, ec] = std::from_chars(begin, stop, token->magnitude, hex ? 16 : 10);
    if (ec != std::errc() || ptr != stop || begin == stop) {
      return Mistake(error, pos_, "invalid int literal");
    }
    if (end < rest.size() && (rest[end] == 'u' || rest[end] == 'U')) {
      token->type = Token::Type::kUint;
      ++end;
    }
  }
  if (end < rest.size() && IsIdentStart(rest[end])) {
    return Mistake(error, pos_ + end, "Syntax error: a number is followed by a letter");
  }
  pos_ += end;
  return true;
}

bool Lexer::Quoted(Token* token, size_t prefix, ParseError* error) {
  bool raw = false;
  for (size_t i = 0; i < prefix; ++i) {
    const char c = source_[pos_ + i];
    if (c == 'r' || c == 'R') raw = true;
    if (c == 'b' || c == 'B') token->type = Token::Type::kBytes;
  }
  if (token->type != Token::Type::kBytes) token->type = Token::Type::kString;
  pos_ += prefix;
  const std::string quote(source_.substr(pos_).starts_with(std::string(3, source_[pos_])) ? 3 : 1,
                          source_[pos_]);
  pos_ += quote.size();
  while (true) {
    if (pos_ >= source_.size() || (quote.size() == 1 && source_[pos_] == '\n')) {
      return Mistake(error, token->offset, "Syntax error: unterminated string literal");
    }
    if (source_.substr(pos_).starts_with(quote)) {
      pos_ += quote.size();
      return true;
    }
    if (source_[pos_] != '\\' || raw) {
      token->text.push_back(source_[pos_++]);
      continue;
    }
    if (!Escape(token, error)) return false;
  }
}

bool Lexer::Escape(Token* token, ParseError* error) {
  const size_t start = pos_++;
  if (pos_ >= source_.size()) return Mistake(error, start, "Syntax error: invalid escape sequence");
  const char c = source_[pos_++];
  const bool bytes = token->type == Token::Type::kBytes;
  switch (c) {
    case 'a':
      token->text.push_back('\a');
      return true;
    case 'b':
      token->text.push_back('\b');
      return true;
    case 'f':
      token->text.push_back('\f');
      return true;
    case 'n':
      token->text.push_back('\n');
      return true;
    case 'r':
      token->text.push_back('\r');
      return true;
    case 't':
      token->text.push_back('\t');
      return true;
    case 'v':
      token->text.push_back('\v');
      return true;
    case '\\':
    case '\'':
    case '"':
    case '`':
    case '?':
      token->text.push_back(c);
      return true;
    case 'x':
    case 'X':
      return CodeUnit(2, 16, bytes, &token->text, error);
    case 'u':
      return CodeUnit(4, 16, false, &token->text, error);
    case 'U':
      return CodeUnit(8, 16, false, &token->text, error);
    default:
      break;
  }
  if (c >= '0' && c <= '3') {
    --pos_;
    return CodeUnit(3, 8, bytes, &token->text, error);
  }
  return Mistake(error, start, "Syntax error: invalid escape sequence");
}

bool Lexer::CodeUnit(size_t digits, int base, bool bytes, std::string* out, ParseError* error) {
  const std::string_view text = source_.substr(pos_, digits);
  uint32_t value = 0;
  const auto [ptr, ec] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (text.size() != digits || ec != std::errc() || ptr != text.data() + text.size() ||
      (!bytes && (value > 0x10FFFF || surrogate))) {
    return Mistake(error, pos_, "Syntax error: invalid escape sequence");
  }
  pos_ += digits;
  if (bytes) {
    out->push_back(static_cast<char>(value));
  } else {
    AppendUtf8(value, out);
  }
  return true;
}

}  // namespace envicutor::standalone::schema::cel

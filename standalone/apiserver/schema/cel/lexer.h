// Tokens of CEL.
#pragma once

#include <string>
#include <string_view>

#include "standalone/apiserver/schema/cel/ast.h"

namespace envicutor::standalone::schema::cel {

struct Token {
  enum class Type { kEnd, kIdent, kInt, kUint, kDouble, kString, kBytes, kSymbol };
  Type type = Type::kEnd;
  size_t offset = 0;
  std::string text;  // of a string: unescaped; of a symbol: "&&", "(", ".?"
  uint64_t magnitude = 0;
  double number = 0;
};

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}
  // False on a mistake, which is then in *error.
  [[nodiscard]] bool Next(Token* token, ParseError* error);

 private:
  void SkipSpace();
  bool Number(Token* token, ParseError* error);
  bool Quoted(Token* token, size_t prefix, ParseError* error);
  bool Escape(Token* token, ParseError* error);
  bool CodeUnit(size_t digits, int base, bool bytes, std::string* out, ParseError* error);

  std::string_view source_;
  size_t pos_ = 0;
};

// Appends the code point in UTF-8.
void AppendUtf8(char32_t rune, std::string* out);

}  // namespace envicutor::standalone::schema::cel

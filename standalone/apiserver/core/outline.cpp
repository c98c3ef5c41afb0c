#include "standalone/apiserver/core/outline.h"

#include <cstring>

namespace envicutor::standalone {
namespace {

// Steps over the tokens of one JSON text; at its end or at what it does not expect it stays where
// it is and every further step fails.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  [[nodiscard]] size_t at() const { return at_; }
  [[nodiscard]] char Peek() {
    while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool Take(char wanted) {
    if (Peek() != wanted) return false;
    ++at_;
    return true;
  }
  // Between the quotes, escapes as they are.
  bool String(Span* span) {
    if (!Take('"')) return false;
    const size_t start = at_;
    while (at_ < text_.size()) {
      const void* quote = std::memchr(text_.data() + at_, '"', text_.size() - at_);
      if (quote == nullptr) break;
      at_ = static_cast<size_t>(static_cast<const char*>(quote) - text_.data());
      size_t escapes = at_;
      while (escapes > start && text_[escapes - 1] == '\\') --escapes;
      ++at_;
      if ((at_ - 1 - escapes) % 2 == 0) {
        *span = {static_cast<uint32_t>(start), static_cast<uint32_t>(at_ - 1 - start)};
        return true;
      }
    }
    at_ = text_.size();
    return false;
  }
  // Any value.
  bool Skip(Span* span) {
    const char first = Peek();
    const size_t start = at_;
    Span string;
    if (first == '"') {
      if (!String(&string)) return false;
    } else if (first == '{' || first == '[') {
      size_t depth = 0;
      do {
        if (at_ >= text_.size()) return false;
        const char c = text_[at_];
        if (c == '"') {
          if (!String(&string)) return false;
          continue;
        }
        if (c == '{' || c == '[') ++depth;
        if (c == '}' || c == ']') --depth;
        ++at_;
      } while (depth > 0);
    } else {
      while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '}' && text_[at_] != ']' &&
             !IsSpace(text_[at_])) {
        ++at_;
      }
    }
    *span = {static_cast<uint32_t>(start), static_cast<uint32_t>(at_ - start)};
    return at_ > start;
  }

  // Calls visit(name) for each member, which steps over its value; until it returns false.
  template <typename Visit>
  void Members(const Visit& visit) {
    if (!Take('{') || Peek() == '}') return;
    do {
      Span name;
      if (!String(&name) || !Take(':') || !visit(name.Of(text_))) return;
    } while (Take(','));
  }
  // An array that is not empty.
  bool Filled() {
    const bool array = Peek() == '[';
    const size_t start = at_;
    Span all;
    if (!Skip(&all)) return false;
    return array && text_.substr(start + 1, all.size - 2).find_first_not_of(" \t\r\n") !=
                        std::string_view::npos;
  }

 private:
  static bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

  std::string_view text_;
  size_t at_ = 0;
};

bool Metadata(Scanner* scanner, std::string_view name, Outline* outline) {
  Span ignored;
  const bool string = scanner->Peek() == '"';
  if (name == "name" && string) return scanner->String(&outline->name);
  if (name == "namespace" && string) return scanner->String(&outline->ns);
  if (name == "uid" && string) return scanner->String(&outline->uid);
  if (name == "resourceVersion" && string) {
    return outline->has_version = scanner->String(&outline->version);
  }
  if (name == "labels" && scanner->Peek() == '{') return scanner->Skip(&outline->labels);
  if (name == "finalizers") {
    outline->finalizers = scanner->Filled();
    return true;
  }
  if (name == "ownerReferences") {
    outline->owners = scanner->Filled();
    return true;
  }
  if (name == "deletionTimestamp") outline->terminating = string;
  return scanner->Skip(&ignored);
}

}  // namespace

Outline OutlineOf(std::string_view text) {
  Outline outline;
  Scanner scanner(text);
  bool seen = false;
  scanner.Members([&](std::string_view name) {
    Span ignored;
    if (name == "metadata" && scanner.Peek() == '{') {
      bool closed = false;
      scanner.Members(
          [&](std::string_view member) { return Metadata(&scanner, member, &outline); });
      closed = scanner.Take('}');
      seen = true;
      return closed && outline.api_version.size == 0;
    }
    const bool version = name == "apiVersion" && scanner.Peek() == '"';
    if (version ? !scanner.String(&outline.api_version) : !scanner.Skip(&ignored)) return false;
    return !seen || outline.api_version.size == 0;  // the rest is long and tells nothing
  });
  return outline;
}

}  // namespace envicutor::standalone

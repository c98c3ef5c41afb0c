// Strings: CEL's own, cel-go's strings extension, Kubernetes' find and findAll. Positions count
// code points.
#include <algorithm>

#include "standalone/apiserver/schema/cel/functions.h"
#include "standalone/apiserver/schema/regex.h"
#include "standalone/apiserver/schema/regex_program.h"

namespace envicutor::standalone::schema::cel {
namespace {

constexpr int64_t kMaxResultBytes = 4 << 20;

void Charge(std::string_view text, int64_t* budget) {
  *budget -= static_cast<int64_t>(text.size() / 10 + 1);
}

// Byte offset of a code point; npos when the text has fewer.
size_t ByteOffset(std::string_view text, int64_t code_point) {
  size_t pos = 0;
  for (int64_t i = 0; i < code_point; ++i) {
    if (pos >= text.size()) return std::string_view::npos;
    (void)DecodeUtf8(text, &pos);
  }
  return pos;
}

Value StartsWith(const Arguments& args, int64_t* budget) {
  Charge(args[1].text, budget);
  return BoolValue(args[0].text.starts_with(args[1].text));
}
Value EndsWith(const Arguments& args, int64_t* budget) {
  Charge(args[1].text, budget);
  return BoolValue(args[0].text.ends_with(args[1].text));
}
Value Contains(const Arguments& args, int64_t* budget) {
  Charge(args[0].text, budget);
  return BoolValue(args[0].text.find(args[1].text) != std::string_view::npos);
}

// Patterns are nearly always literals: the last one of a thread stays compiled.
Result<Regex> CompiledRegex(std::string_view pattern) {
  thread_local std::string last_pattern;
  thread_local std::optional<Regex> last;
  if (last.has_value() && last_pattern == pattern) return *last;
  ENVICUTOR_ASSIGN(Regex regex, Regex::Compile(pattern));
  last_pattern = std::string(pattern);
  last = regex;
  return regex;
}

// Regex steps are cheaper than CEL's: a hundred of them are one unit.
constexpr int64_t kStepsPerUnit = 100;

Value Matches(const Arguments& args, int64_t* budget) {
  const Result<Regex> regex = CompiledRegex(args[1].text);
  if (!regex.ok()) return ErrorValue(regex.status().message());
  int64_t steps = *budget > INT64_MAX / kStepsPerUnit ? INT64_MAX : *budget * kStepsPerUnit;
  const int64_t before = steps;
  const Result<bool> found = regex->Search(args[0].text, &steps);
  *budget -= (before - steps) / kStepsPerUnit + 1;
  return found.ok() ? BoolValue(*found) : ErrorValue(found.status().message());
}

Value FindSome(const Value& text, const Value& pattern, size_t limit, int64_t* budget) {
  const Result<Regex> regex = CompiledRegex(pattern.text);
  if (!regex.ok()) return ErrorValue(regex.status().message());
  int64_t steps = *budget > INT64_MAX / kStepsPerUnit ? INT64_MAX : *budget * kStepsPerUnit;
  const int64_t before = steps;
  Value::List found;
  size_t from = 0;
  while (found.size() < limit && from <= text.text.size()) {
    const Result<Regex::Span> span = regex->Find(text.text, from, &steps);
    if (!span.ok()) return ErrorValue(span.status().message());
    if (!span->has_value()) break;
    const auto [begin, end] = **span;
    found.push_back(SubString(text, begin, end - begin));
    from = end > begin ? end : end + 1;
  }
  *budget -= (before - steps) / kStepsPerUnit + 1;
  return ListValue(std::move(found));
}
Value FindAll(const Arguments& args, int64_t* budget) {
  return FindSome(args[0], args[1], SIZE_MAX, budget);
}
Value FindAllLimited(const Arguments& args, int64_t* budget) {
  const int64_t limit = args[2].integer;
  return FindSome(args[0], args[1], limit < 0 ? SIZE_MAX : static_cast<size_t>(limit), budget);
}
Value Find(const Arguments& args, int64_t* budget) {
  Value found = FindSome(args[0], args[1], 1, budget);
  if (found.IsError()) return found;
  return Size(found) == 0 ? StringValue("") : ElementAt(found, 0);
}

Value CharAt(const Arguments& args, int64_t* budget) {
  Charge(args[0].text, budget);
  const size_t begin =
      args[1].integer < 0 ? std::string_view::npos : ByteOffset(args[0].text, args[1].integer);
  if (begin == std::string_view::npos) {
    return ErrorValue("index out of range: " + std::to_string(args[1].integer));
  }
  if (begin == args[0].text.size()) return StringValue("");
  size_t end = begin;
  (void)DecodeUtf8(args[0].text, &end);
  return SubString(args[0], begin, end - begin);
}

Value Position(std::string_view text, size_t byte) {
  return IntValue(byte == std::string_view::npos ? -1 : CodePoints(text.substr(0, byte)));
}
Value IndexOf(const Arguments& args, int64_t* budget) {
  Charge(args[0].text, budget);
  return Position(args[0].text, args[0].text.find(args[1].text));
}
Value IndexOfFrom(const Arguments& args, int64_t* budget) {
  Charge(args[0].text, budget);
  const size_t from =
      args[2].integer < 0 ? std::string_view::npos : ByteOffset(args[0].text, args[2].integer);
  if (from == std::string_view::npos) {
    return ErrorValue("index out of range: " + std::to_string(args[2].integer));
  }
  return Position(args[0].text, args[0].text.find(args[1].text, from));
}
Value LastIndexOf(const Arguments& args, int64_t* budget) {
  Charge(args[0].text, budget);
  return Position(args[0].text, args[0].text.rfind(args[1].text));
}

Value MapAscii(const Value& text, char from, char to, int change, int64_t* budget) {
  Charge(text.text, budget);
  std::string out(text.text);
  for (char& c : out) {
    if (c >= from && c <= to) c = static_cast<char>(c + change);
  }
  return StringValue(std::move(out));
}
Value LowerAscii(const Arguments& args, int64_t* budget) {
  return MapAscii(args[0], 'A', 'Z', 32, budget);
}
Value UpperAscii(const Arguments& args, int64_t* budget) {
  return MapAscii(args[0], 'a', 'z', -32, budget);
}

Value ReplaceSome(const Arguments& args, int64_t limit, int64_t* budget) {
  const std::string_view text = args[0].text;
  const std::string_view from = args[1].text;
  const std::string_view to = args[2].text;
  std::string out;
  size_t pos = 0;
  while (limit != 0) {
    const size_t found = text.find(from, pos);
    if (found == std::string_view::npos) break;
    out += text.substr(pos, found - pos);
    out += to;
    pos = found + from.size();
    if (limit > 0) --limit;
    if (from.empty()) {  // between all code points
      if (pos >= text.size()) break;
      size_t next = pos;
      (void)DecodeUtf8(text, &next);
      out += text.substr(pos, next - pos);
      pos = next;
    }
    if (static_cast<int64_t>(out.size()) > kMaxResultBytes) return ErrorValue("string is too long");
  }
  out += text.substr(std::min(pos, text.size()));
  Charge(out, budget);
  Charge(text, budget);
  return StringValue(std::move(out));
}
Value Replace(const Arguments& args, int64_t* budget) { return ReplaceSome(args, -1, budget); }
Value ReplaceLimited(const Arguments& args, int64_t* budget) {
  return ReplaceSome(args, args[3].integer, budget);
}

Value SplitSome(const Value& text, std::string_view separator, int64_t limit, int64_t* budget) {
  Charge(text.text, budget);
  Value::List parts;
  if (limit == 0) return ListValue(std::move(parts));
  size_t pos = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) + 1 < limit) {
    size_t end = 0;
    if (separator.empty()) {
      if (pos >= text.text.size()) break;
      end = pos;
      (void)DecodeUtf8(text.text, &end);
      if (end >= text.text.size()) break;
    } else {
      end = text.text.find(separator, pos);
      if (end == std::string_view::npos) break;
    }
    parts.push_back(SubString(text, pos, end - pos));
    pos = end + separator.size();
  }
  if (!separator.empty() || pos < text.text.size()) {
    parts.push_back(SubString(text, pos, text.text.size() - pos));
  }
  *budget -= static_cast<int64_t>(parts.size());
  return ListValue(std::move(parts));
}
Value Split(const Arguments& args, int64_t* budget) {
  return SplitSome(args[0], args[1].text, -1, budget);
}
Value SplitLimited(const Arguments& args, int64_t* budget) {
  return SplitSome(args[0], args[1].text, args[2].integer, budget);
}

Value SubstringBetween(const Value& text, int64_t begin, int64_t end, int64_t* budget) {
  Charge(text.text, budget);
  if (end < begin || begin < 0) {
    return ErrorValue("invalid substring range. start: " + std::to_string(begin) +
                      ", end: " + std::to_string(end));
  }
  const size_t from = ByteOffset(text.text, begin);
  const size_t to = ByteOffset(text.text, end);
  if (from == std::string_view::npos || to == std::string_view::npos) {
    return ErrorValue("index out of range: " + std::to_string(end));
  }
  return SubString(text, from, to - from);
}
Value SubstringFrom(const Arguments& args, int64_t* budget) {
  const int64_t length = CodePoints(args[0].text);
  if (args[1].integer > length) {
    return ErrorValue("index out of range: " + std::to_string(args[1].integer));
  }
  return SubstringBetween(args[0], args[1].integer, length, budget);
}
Value Substring(const Arguments& args, int64_t* budget) {
  return SubstringBetween(args[0], args[1].integer, args[2].integer, budget);
}

Value Trim(const Arguments& args, int64_t* budget) {
  Charge(args[0].text, budget);
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const size_t begin = args[0].text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return StringValue("");
  return SubString(args[0], begin, args[0].text.find_last_not_of(kSpace) - begin + 1);
}

Value JoinWith(const Value& list, std::string_view separator, int64_t* budget) {
  std::string out;
  for (size_t i = 0; i < Size(list); ++i) {
    const Value element = ElementAt(list, i);
    if (element.kind != Kind::kString) return ErrorValue("no such overload");
    if (i > 0) out += separator;
    out += element.text;
    if (static_cast<int64_t>(out.size()) > kMaxResultBytes) return ErrorValue("string is too long");
  }
  Charge(out, budget);
  return StringValue(std::move(out));
}
Value Join(const Arguments& args, int64_t* budget) { return JoinWith(args[0], "", budget); }
Value JoinSeparated(const Arguments& args, int64_t* budget) {
  return JoinWith(args[0], args[1].text, budget);
}

constexpr Overload kTable[] = {
    {"startsWith", true, "ss", 'b', StartsWith},
    {"endsWith", true, "ss", 'b', EndsWith},
    {"contains", true, "ss", 'b', Contains},
    {"matches", true, "ss", 'b', Matches},
    {"matches", false, "ss", 'b', Matches},
    {"find", true, "ss", 's', Find},
    {"findAll", true, "ss", 'S', FindAll},
    {"findAll", true, "ssi", 'S', FindAllLimited},
    {"charAt", true, "si", 's', CharAt},
    {"indexOf", true, "ss", 'i', IndexOf},
    {"indexOf", true, "ssi", 'i', IndexOfFrom},
    {"lastIndexOf", true, "ss", 'i', LastIndexOf},
    {"lowerAscii", true, "s", 's', LowerAscii},
    {"upperAscii", true, "s", 's', UpperAscii},
    {"replace", true, "sss", 's', Replace},
    {"replace", true, "sssi", 's', ReplaceLimited},
    {"split", true, "ss", 'S', Split},
    {"split", true, "ssi", 'S', SplitLimited},
    {"substring", true, "si", 's', SubstringFrom},
    {"substring", true, "sii", 's', Substring},
    {"trim", true, "s", 's', Trim},
    {"join", true, "l", 's', Join},
    {"join", true, "ls", 's', JoinSeparated},
};

}  // namespace

std::span<const Overload> StringFunctions() { return kTable; }

}  // namespace envicutor::standalone::schema::cel

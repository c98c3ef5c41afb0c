#include "standalone/apiserver/schema/jsonpath.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "standalone/apiserver/schema/cel/value.h"

namespace envicutor::standalone::schema {

struct JsonPathStep {
  enum class Kind { kField, kWildcard, kSlice, kFilter };
  Kind kind = Kind::kField;
  std::string name;              // kField
  std::optional<int64_t> begin;  // kSlice; an index is [i:i+1]
  std::optional<int64_t> end;
  int64_t step = 1;
  bool single = false;              // an index
  std::vector<std::string> filter;  // kFilter: the path below @
  std::string op;                   // "" is presence
  Json operand;
};

namespace {

constexpr size_t kMaxMatches = 1000;
constexpr size_t kMaxSteps = 64;

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<std::vector<JsonPathStep>> Parse() {
    if (text_.starts_with("{") && text_.ends_with("}")) text_ = text_.substr(1, text_.size() - 2);
    if (text_.starts_with("$")) text_.remove_prefix(1);
    if (!text_.empty() && text_.front() != '.' && text_.front() != '[') {
      ENVICUTOR_RETURN_IF_ERROR(Field());
    }
    while (!text_.empty()) {
      if (steps_.size() >= kMaxSteps) return Bad("too many steps");
      if (text_.front() == '.') {
        text_.remove_prefix(1);
        if (text_.empty() && steps_.empty()) break;  // "." is the whole object
        if (text_.starts_with("[")) continue;
        ENVICUTOR_RETURN_IF_ERROR(Field());
      } else if (text_.front() == '[') {
        ENVICUTOR_RETURN_IF_ERROR(Bracket());
      } else {
        return Bad("unexpected character");
      }
    }
    return std::move(steps_);
  }

 private:
  static Status Bad(const std::string& why) {
    return InvalidArgument("is not a JSONPath that is understood here: " + why);
  }

  JsonPathStep& Add(JsonPathStep::Kind kind) {
    steps_.emplace_back();
    steps_.back().kind = kind;
    return steps_.back();
  }

  Status Field() {
    if (text_.starts_with("*")) {
      text_.remove_prefix(1);
      Add(JsonPathStep::Kind::kWildcard);
      return OkStatus();
    }
    std::string name;
    while (!text_.empty() && text_.front() != '.' && text_.front() != '[') {
      if (text_.front() == '\\' && text_.size() > 1) text_.remove_prefix(1);
      name.push_back(text_.front());
      text_.remove_prefix(1);
    }
    if (name.empty()) return Bad("a field has no name");
    Add(JsonPathStep::Kind::kField).name = std::move(name);
    return OkStatus();
  }

  Status Bracket() {
    const size_t close = Close();
    if (close == std::string_view::npos) return Bad("unterminated array");
    const std::string_view inside = text_.substr(1, close - 1);
    text_.remove_prefix(close + 1);
    if (inside == "*") {
      Add(JsonPathStep::Kind::kWildcard);
      return OkStatus();
    }
    if (inside.size() >= 2 && (inside.front() == '\'' || inside.front() == '"') &&
        inside.back() == inside.front()) {
      Add(JsonPathStep::Kind::kField).name = std::string(inside.substr(1, inside.size() - 2));
      return OkStatus();
    }
    if (inside.starts_with("?(") && inside.ends_with(")")) {
      return Filter(inside.substr(2, inside.size() - 3));
    }
    return Slice(inside);
  }

  // The ] that belongs to the [ at the front; brackets inside quotes do not count.
  [[nodiscard]] size_t Close() const {
    char quote = 0;
    int depth = 0;
    for (size_t i = 0; i < text_.size(); ++i) {
      const char c = text_[i];
      if (quote != 0) {
        if (c == quote) quote = 0;
      } else if (c == '\'' || c == '"') {
        quote = c;
      } else if (c == '[') {
        ++depth;
      } else if (c == ']' && --depth == 0) {
        return i;
      }
    }
    return std::string_view::npos;
  }

  static bool Integer(std::string_view text, std::optional<int64_t>* out) {
    if (text.empty()) return true;
    int64_t value = 0;
    const auto [ptr, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc() || ptr != text.data() + text.size()) return false;
    *out = value;
    return true;
  }

  Status Slice(std::string_view inside) {
    std::vector<std::string_view> parts;
    for (size_t colon = 0; colon != std::string_view::npos;) {
      colon = inside.find(':');
      parts.push_back(inside.substr(0, colon));
      if (colon != std::string_view::npos) inside.remove_prefix(colon + 1);
    }
    JsonPathStep& slice = Add(JsonPathStep::Kind::kSlice);
    std::optional<int64_t> step;
    if (parts.size() > 3 || !Integer(parts[0], &slice.begin) ||
        (parts.size() > 1 && !Integer(parts[1], &slice.end)) ||
        (parts.size() > 2 && !Integer(parts[2], &step))) {
      return Bad("invalid array index");
    }
    slice.single = parts.size() == 1;
    if (slice.single && !slice.begin.has_value()) return Bad("invalid array index");
    slice.step = step.value_or(1);
    return slice.step < 1 ? Bad("step must be at least 1") : OkStatus();
  }

  Status Filter(std::string_view inside) {
    JsonPathStep& filter = Add(JsonPathStep::Kind::kFilter);
    size_t at = std::string_view::npos;
    for (const std::string_view op : {"==", "!=", "<=", ">=", "<", ">"}) {
      const size_t found = inside.find(op);
      if (found != std::string_view::npos && found < at) {
        at = found;
        filter.op = std::string(op);
      }
    }
    std::string_view path = Trim(inside.substr(0, at));
    if (!path.starts_with("@")) return Bad("a filter must begin with @");
    path.remove_prefix(1);
    while (!path.empty()) {
      if (path.front() != '.') return Bad("a filter's path has dots only");
      path.remove_prefix(1);
      const size_t end = std::min(path.find('.'), path.size());
      filter.filter.emplace_back(path.substr(0, end));
      path.remove_prefix(end);
    }
    if (filter.op.empty()) return OkStatus();
    const std::string_view operand = Trim(inside.substr(at + filter.op.size()));
    if (operand.size() >= 2 && (operand.front() == '\'' || operand.front() == '"') &&
        operand.back() == operand.front()) {
      filter.operand = std::string(operand.substr(1, operand.size() - 2));
      return OkStatus();
    }
    Result<Json> literal = ParseJson(operand, 1);
    if (!literal.ok()) return Bad("a filter compares with a literal");
    filter.operand = *std::move(literal);
    return OkStatus();
  }

  static std::string_view Trim(std::string_view text) {
    while (text.starts_with(" ")) text.remove_prefix(1);
    while (text.ends_with(" ")) text.remove_suffix(1);
    return text;
  }

  std::string_view text_;
  std::vector<JsonPathStep> steps_;
};

bool FilterHolds(const JsonPathStep& step, const Json& element) {
  const Json* at = &element;
  for (const std::string& name : step.filter) {
    if (!at->is_object()) return false;
    const auto it = at->find(name);
    if (it == at->end()) return false;
    at = &*it;
  }
  if (step.op.empty()) return true;
  if (step.op == "==") return *at == step.operand;
  if (step.op == "!=") return *at != step.operand;
  int order = 0;
  if (!cel::Compare(cel::FromJson(*at, nullptr), cel::FromJson(step.operand, nullptr), &order)) {
    return false;
  }
  if (step.op == "<") return order < 0;
  if (step.op == "<=") return order <= 0;
  return step.op == ">" ? order > 0 : order >= 0;
}

void Slice(const JsonPathStep& step, const Json& array, std::vector<const Json*>* out) {
  const auto size = static_cast<int64_t>(array.size());
  const auto absolute = [size](int64_t index) { return index < 0 ? index + size : index; };
  const int64_t begin = absolute(step.begin.value_or(0));
  if (step.single) {
    if (begin >= 0 && begin < size) out->push_back(&array[static_cast<size_t>(begin)]);
    return;
  }
  const int64_t end = std::min(absolute(step.end.value_or(size)), size);
  for (int64_t i = std::max<int64_t>(begin, 0); i < end; i += step.step) {
    out->push_back(&array[static_cast<size_t>(i)]);
  }
}

void Follow(const JsonPathStep& step, const Json& value, std::vector<const Json*>* out) {
  switch (step.kind) {
    case JsonPathStep::Kind::kField:
      if (value.is_object()) {
        const auto it = value.find(step.name);
        if (it != value.end()) out->push_back(&*it);
      }
      return;
    case JsonPathStep::Kind::kWildcard:
      if (value.is_structured()) {
        for (const Json& element : value) out->push_back(&element);
      }
      return;
    case JsonPathStep::Kind::kSlice:
      if (value.is_array()) Slice(step, value, out);
      return;
    case JsonPathStep::Kind::kFilter:
      if (!value.is_array()) return;
      for (const Json& element : value) {
        if (FilterHolds(step, element)) out->push_back(&element);
      }
      return;
  }
}

}  // namespace

Result<JsonPath> JsonPath::Parse(std::string_view text) {
  if (text.size() > 1024) return InvalidArgument("a JSONPath has at most 1024 bytes");
  ENVICUTOR_ASSIGN(std::vector<JsonPathStep> steps, Parser(text).Parse());
  JsonPath path;
  path.steps_ = std::make_shared<const std::vector<JsonPathStep>>(std::move(steps));
  return path;
}

std::vector<const Json*> JsonPath::Find(const Json& root) const {
  if (steps_ == nullptr) return {};
  std::vector<const Json*> found = {&root};
  for (const JsonPathStep& step : *steps_) {
    std::vector<const Json*> next;
    for (const Json* value : found) {
      Follow(step, *value, &next);
      if (next.size() >= kMaxMatches) break;
    }
    if (next.size() > kMaxMatches) next.resize(kMaxMatches);
    found = std::move(next);
  }
  return found;
}

const Json* JsonPath::First(const Json& root) const {
  const std::vector<const Json*> found = Find(root);
  return found.empty() ? nullptr : found.front();
}

}  // namespace envicutor::standalone::schema

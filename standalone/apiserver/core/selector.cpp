#include "standalone/apiserver/core/selector.h"

#include <algorithm>
#include <charconv>

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxSelectorBytes = 8192;

bool IsWordChar(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.' ||
         c == '/';
}

std::optional<int64_t> ToInt(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

ApiError TooLong(const std::string& kind, std::string_view text) {
  return BadRequestError("the " + kind + " selector has " + std::to_string(text.size()) +
                         " bytes, more than " + std::to_string(kMaxSelectorBytes));
}

ApiError UnableToParse(std::string_view text, std::string_view why) {
  return BadRequestError("unable to parse requirement: " + std::string(why) + " in selector \"" +
                         std::string(text.substr(0, 256)) + "\"");
}

}  // namespace

class LabelSelector::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  ApiResult<std::vector<Requirement>> Parse() {
    std::vector<Requirement> requirements;
    Skip();
    while (at_ < text_.size()) {
      API_ASSIGN(Requirement requirement, One());
      requirements.push_back(std::move(requirement));
      Skip();
      if (at_ == text_.size()) break;
      if (!Take(',')) return UnableToParse(text_, "expected ','");
      Skip();
      if (at_ == text_.size()) return UnableToParse(text_, "expected a requirement after ','");
    }
    return requirements;
  }

 private:
  void Skip() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }
  bool Take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string Word() {
    Skip();
    const size_t start = at_;
    while (at_ < text_.size() && IsWordChar(text_[at_])) ++at_;
    return std::string(text_.substr(start, at_ - start));
  }

  ApiResult<Requirement> One() {
    Requirement requirement;
    if (Take('!')) {
      requirement.op = Op::kNotExists;
      requirement.key = Word();
      if (requirement.key.empty()) return UnableToParse(text_, "expected a label key");
      return requirement;
    }
    requirement.key = Word();
    if (requirement.key.empty()) return UnableToParse(text_, "expected a label key");
    Skip();
    if (at_ == text_.size() || text_[at_] == ',') {
      requirement.op = Op::kExists;
      return requirement;
    }
    if (Take('=')) {
      Take('=');
      requirement.values = {Word()};
      return requirement;
    }
    if (Take('!')) {
      if (!Take('=')) return UnableToParse(text_, "expected '!='");
      requirement.op = Op::kNotIn;
      requirement.values = {Word()};
      return requirement;
    }
    if (text_[at_] == '>' || text_[at_] == '<') {
      requirement.op = text_[at_++] == '>' ? Op::kGreater : Op::kLess;
      requirement.values = {Word()};
      if (!ToInt(requirement.values[0])) return UnableToParse(text_, "expected an integer");
      return requirement;
    }
    const std::string op = Word();
    if (op != "in" && op != "notin") {
      return UnableToParse(text_, "expected one of '=', '==', '!=', 'in', 'notin'");
    }
    requirement.op = op == "in" ? Op::kIn : Op::kNotIn;
    Skip();
    if (!Take('(')) return UnableToParse(text_, "expected '('");
    do {
      requirement.values.push_back(Word());
      Skip();
    } while (Take(','));
    if (!Take(')')) return UnableToParse(text_, "expected ')'");
    return requirement;
  }

  std::string_view text_;
  size_t at_ = 0;
};

ApiResult<LabelSelector> LabelSelector::Parse(std::string_view text) {
  if (text.size() > kMaxSelectorBytes) return TooLong("label", text);
  LabelSelector selector;
  API_ASSIGN(selector.requirements_, Parser(text).Parse());
  return selector;
}

bool LabelSelector::Matches(const Json& object) const {
  return requirements_.empty() || MatchesLabels(At(object, {"metadata", "labels"}));
}

bool LabelSelector::Matches(const Object& object) const {
  return requirements_.empty() || MatchesLabels(object.Labels());
}

bool LabelSelector::MatchesLabels(const Json& labels) const {
  return std::all_of(requirements_.begin(), requirements_.end(), [&](const Requirement& wanted) {
    const Json& label = At(labels, {wanted.key});
    const bool present = label.is_string();
    const std::string value = present ? label.get<std::string>() : "";
    const auto listed = [&] {
      return std::find(wanted.values.begin(), wanted.values.end(), value) != wanted.values.end();
    };
    switch (wanted.op) {
      case Op::kIn:
        return present && listed();
      case Op::kNotIn:
        return !present || !listed();
      case Op::kExists:
        return present;
      case Op::kNotExists:
        return !present;
      case Op::kGreater:
      case Op::kLess: {
        const auto number = ToInt(value);
        const auto bound = ToInt(wanted.values[0]);
        if (!present || !number || !bound) return false;
        return wanted.op == Op::kGreater ? *number > *bound : *number < *bound;
      }
    }
    return false;
  });
}

namespace {

constexpr const char* kNameField = "metadata.name";
constexpr const char* kNamespaceField = "metadata.namespace";

std::vector<std::pair<std::string, std::string>> Values(const Json& object,
                                                        const ResourceInfo& resource) {
  if (resource.crd_version != nullptr) {
    return schema::SelectableValues(*resource.crd_version, object);
  }
  return schema::SelectableValues(resource.group, resource.plural, object);
}

// "a\,b" -> "a,b": field selectors escape with a backslash.
std::string Unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    out += text[i];
  }
  return out;
}

std::vector<std::string_view> SplitUnescaped(std::string_view text) {
  std::vector<std::string_view> parts;
  size_t start = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == ',') {
      parts.push_back(text.substr(start, i - start));
      start = i + 1;
    }
  }
  if (start < text.size()) parts.push_back(text.substr(start));
  return parts;
}

}  // namespace

ApiResult<FieldSelector> FieldSelector::Parse(std::string_view text, const ResourceInfo& resource) {
  if (text.size() > kMaxSelectorBytes) return TooLong("field", text);
  FieldSelector selector;
  const auto known = Values(Json::object(), resource);
  for (const std::string_view part : SplitUnescaped(text)) {
    if (part.empty()) continue;
    Requirement requirement;
    size_t op = part.find("!=");
    size_t op_size = 2;
    if (op != std::string_view::npos) {
      requirement.equal = false;
    } else if ((op = part.find("==")) == std::string_view::npos) {
      op = part.find('=');
      op_size = 1;
    }
    if (op == std::string_view::npos) {
      return BadRequestError("invalid selector: '" + std::string(text) + "'; can't understand '" +
                             std::string(part) + "'");
    }
    requirement.field = std::string(part.substr(0, op));
    requirement.value = Unescape(part.substr(op + op_size));
    const bool supported = std::any_of(known.begin(), known.end(), [&](const auto& field) {
      return field.first == requirement.field;
    });
    if (!supported) {
      return BadRequestError(
          resource.crd == nullptr
              ? "\"" + requirement.field + "\" is not a known field selector: only the fields of " +
                    resource.kind + " that Kubernetes makes selectable can be used"
              : "field label not supported: " + requirement.field);
    }
    selector.requirements_.push_back(std::move(requirement));
  }
  return selector;
}

bool FieldSelector::Matches(const Json& object, const ResourceInfo& resource) const {
  return requirements_.empty() || MatchesValues(Values(object, resource));
}

bool FieldSelector::Matches(const Object& object, const ResourceInfo& resource) const {
  if (requirements_.empty()) return true;
  // By name, as `kubectl get NAME --watch` selects: no need to parse.
  const bool by_name =
      std::all_of(requirements_.begin(), requirements_.end(), [](const Requirement& wanted) {
        return wanted.field == kNameField || wanted.field == kNamespaceField;
      });
  if (by_name) {
    return MatchesValues({{kNameField, object.Name()}, {kNamespaceField, object.Namespace()}});
  }
  const JsonRef tree = object.Tree();
  return MatchesValues(Values(*tree, resource));
}

bool FieldSelector::MatchesValues(
    const std::vector<std::pair<std::string, std::string>>& values) const {
  return std::all_of(requirements_.begin(), requirements_.end(), [&](const Requirement& wanted) {
    const auto it = std::find_if(values.begin(), values.end(),
                                 [&](const auto& field) { return field.first == wanted.field; });
    const bool same = it != values.end() && it->second == wanted.value;
    return same == wanted.equal;
  });
}

}  // namespace envicutor::standalone

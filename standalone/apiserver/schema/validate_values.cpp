#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "standalone/apiserver/schema/cel/value.h"
#include "standalone/apiserver/schema/validate.h"

namespace envicutor::standalone::schema {
namespace {

constexpr int64_t kPatternBudget = 200'000'000;  // about a second for one object

std::string Quoted(std::string_view text) {
  return DumpJson(Json(std::string(text.substr(0, 512))));
}

std::string NumberText(double number) {
  if (std::trunc(number) == number && std::fabs(number) < 1e15) {
    return std::to_string(static_cast<int64_t>(number));
  }
  return DumpJson(Json(number));
}

class Validator {
 public:
  explicit Validator(std::vector<FieldError>* errors) : errors_(errors) {}

  void CheckRoot(const Json& object, const Json* old, const SchemaNode& root) {
    if (!CheckType(object, root, "")) return;
    CheckOwn(object, root, "");
    for (auto it = object.begin(); it != object.end() && !Full(); ++it) {
      const SchemaNode* member = root.Member(it.key());
      if (member == nullptr || IsUnchanged(it.key(), *it, old)) continue;
      Check(*it, *member, it.key());
    }
  }

  void Check(const Json& value, const SchemaNode& node, const std::string& path) {
    if (Full()) return;
    if (value.is_null() && node.nullable) return;
    if (!CheckType(value, node, path)) return;
    CheckOwn(value, node, path);
    if (value.is_object()) {
      CheckMembers(value, node, path);
    } else if (value.is_array()) {
      CheckElements(value, node, path);
    }
  }

 private:
  [[nodiscard]] bool Full() const { return errors_->size() >= kMaxErrors; }
  void Add(FieldError error) {
    if (!Full()) errors_->push_back(std::move(error));
  }
  void AddInvalid(const std::string& path, const std::string& shown, const std::string& rule) {
    Add(InvalidError(path, shown, path + " in body " + rule));
  }
  // Errors of logical junctors have no place of their own in Kubernetes either.
  void AddJunctor(const std::string& path, const std::string& rule) {
    Add(InvalidError("<nil>", "\"\"", '"' + path + "\" " + rule));
  }

  bool CheckType(const Json& value, const SchemaNode& node, const std::string& path) {
    const std::string_view actual = JsonTypeName(value);
    const bool whole =
        value.is_number_integer() ||
        (value.is_number_float() && std::trunc(value.get<double>()) == value.get<double>());
    std::string_view wanted = NodeTypeName(node.type);
    bool fits = true;
    if (node.int_or_string) {
      wanted = "integer,string";
      fits = value.is_string() || (value.is_number() && whole);
    } else {
      switch (node.type) {
        case NodeType::kUnset:
          fits = true;
          break;
        case NodeType::kObject:
          fits = value.is_object();
          break;
        case NodeType::kArray:
          fits = value.is_array();
          break;
        case NodeType::kString:
          fits = value.is_string();
          break;
        case NodeType::kInteger:
          fits = value.is_number() && whole;
          break;
        case NodeType::kNumber:
          fits = value.is_number();
          break;
        case NodeType::kBoolean:
          fits = value.is_boolean();
          break;
      }
    }
    if (fits) return true;
    const std::string shown = '"' + std::string(actual) + '"';
    Add(TypeError(path.empty() ? "<nil>" : path, shown,
                  path + " in body must be of type " + std::string(wanted) + ": " + shown));
    return false;
  }

  // What one node says of a value itself: shared by nodes and the branches of junctors.
  void CheckOwn(const Json& value, const SchemaNode& node, const std::string& path) {
    CheckEnum(value, node, path);
    if (value.is_string()) CheckString(value.get_ref<const std::string&>(), node, path);
    if (value.is_number()) CheckNumber(value, node, path);
    if (value.is_array()) {
      CheckItemCount(value, node, path);
    } else if (value.is_object()) {
      CheckObject(value, node, path);
    }
    CheckJunctors(value, node, path);
  }

  void CheckEnum(const Json& value, const SchemaNode& node, const std::string& path) {
    if (node.enum_values.empty()) return;
    if (std::find(node.enum_values.begin(), node.enum_values.end(), value) !=
        node.enum_values.end()) {
      return;
    }
    std::vector<std::string> supported;
    for (const Json& each : node.enum_values) {
      supported.push_back(each.is_string() ? each.get<std::string>() : DumpJson(each));
    }
    Add(NotSupportedError(path, DumpJson(value), supported));
  }

  void CheckString(const std::string& text, const SchemaNode& node, const std::string& path) {
    if (node.max_length.has_value() || node.min_length.has_value()) {
      const int64_t length = cel::CodePoints(text);
      if (node.max_length.has_value() && length > *node.max_length) {
        Add(TooLongError(path,
                         "may not be more than " + std::to_string(*node.max_length) + " bytes"));
        return;  // and no pattern over a text of any length
      }
      if (node.min_length.has_value() && length < *node.min_length) {
        AddInvalid(path, Quoted(text),
                   "should be at least " + std::to_string(*node.min_length) + " chars long");
        return;
      }
    }
    if (node.regex.has_value()) {
      const Result<bool> matches = node.regex->Search(text, &pattern_budget_);
      if (!matches.ok()) {
        AddInvalid(path, Quoted(text), "could not be checked: " + matches.status().message());
      } else if (!*matches) {
        AddInvalid(path, Quoted(text), "should match '" + node.pattern + "'");
      }
    }
    if (!node.format.empty() && !HasFormat(node.format, text)) {
      Add(TypeError(path, Quoted(text),
                    path + " in body must be of type " + node.format + ": " + Quoted(text)));
    }
  }

  void CheckNumber(const Json& value, const SchemaNode& node, const std::string& path) {
    const auto number = value.get<double>();
    const std::string shown = DumpJson(value);
    if (node.minimum.has_value() &&
        (node.exclusive_minimum ? number <= *node.minimum : number < *node.minimum)) {
      AddInvalid(path, shown,
                 std::string("should be greater than ") +
                     (node.exclusive_minimum ? "" : "or equal to ") + NumberText(*node.minimum));
    }
    if (node.maximum.has_value() &&
        (node.exclusive_maximum ? number >= *node.maximum : number > *node.maximum)) {
      AddInvalid(path, shown,
                 std::string("should be less than ") +
                     (node.exclusive_maximum ? "" : "or equal to ") + NumberText(*node.maximum));
    }
    if (node.multiple_of.has_value() && *node.multiple_of > 0) {
      const double quotient = number / *node.multiple_of;
      if (std::fabs(quotient - std::round(quotient)) > 1e-9) {
        AddInvalid(path, shown, "should be a multiple of " + NumberText(*node.multiple_of));
      }
    }
  }

  void CheckCount(size_t count, const std::optional<int64_t>& min,
                  const std::optional<int64_t>& max, const std::string& noun,
                  const std::string& path) {
    const auto size = static_cast<int64_t>(count);
    if (max.has_value() && size > *max) {
      Add(TooManyError(
          path, std::to_string(size) + ": must have at most " + std::to_string(*max) + " items"));
    }
    if (min.has_value() && size < *min) {
      AddInvalid(path, std::to_string(size),
                 "should have at least " + std::to_string(*min) + " " + noun);
    }
  }

  void CheckItemCount(const Json& value, const SchemaNode& node, const std::string& path) {
    CheckCount(value.size(), node.min_items, node.max_items, "items", path);
  }

  void CheckObject(const Json& value, const SchemaNode& node, const std::string& path) {
    CheckCount(value.size(), node.min_properties, node.max_properties, "properties", path);
    for (const std::string& name : node.required) {
      if (!value.contains(name)) Add(RequiredError(ChildPath(path, name), ""));
    }
  }

  // How many of the branches hold; their errors are kept where there are fewer than wanted.
  size_t CountHolding(const std::vector<std::unique_ptr<SchemaNode>>& branches, const Json& value,
                      const std::string& path, std::vector<FieldError>* first_errors) {
    size_t holding = 0;
    for (const auto& branch : branches) {
      std::vector<FieldError> errors;
      Validator nested(&errors);
      nested.pattern_budget_ = pattern_budget_;
      nested.Check(value, *branch, path);
      pattern_budget_ = nested.pattern_budget_;
      if (errors.empty()) {
        ++holding;
      } else if (first_errors->empty()) {
        *first_errors = std::move(errors);
      }
    }
    return holding;
  }

  void CheckJunctors(const Json& value, const SchemaNode& node, const std::string& path) {
    for (const auto& branch : node.all_of) Check(value, *branch, path);
    std::vector<FieldError> causes;
    if (!node.any_of.empty() && !node.int_or_string &&
        CountHolding(node.any_of, value, path, &causes) == 0) {
      AddJunctor(path, "must validate at least one schema (anyOf)");
      for (FieldError& cause : causes) Add(std::move(cause));
    }
    causes.clear();
    if (!node.one_of.empty()) {
      const size_t holding = CountHolding(node.one_of, value, path, &causes);
      if (holding != 1) {
        AddJunctor(path, "must validate one and only one schema (oneOf). Found " +
                             (holding == 0 ? "none valid"
                                           : std::to_string(holding) + " valid alternatives"));
      }
      if (holding == 0) {
        for (FieldError& cause : causes) Add(std::move(cause));
      }
    }
    if (node.not_of != nullptr) {
      std::vector<FieldError> errors;
      Validator(&errors).Check(value, *node.not_of, path);
      if (errors.empty()) AddJunctor(path, "must not validate the schema (not)");
    }
  }

  void CheckMembers(const Json& value, const SchemaNode& node, const std::string& path) {
    for (auto it = value.begin(); it != value.end() && !Full(); ++it) {
      const SchemaNode* member = node.Member(it.key());
      if (member != nullptr) Check(*it, *member, ChildPath(path, it.key()));
    }
    if (node.embedded_resource) {
      for (const char* name : {"apiVersion", "kind"}) {
        if (!value.contains(name)) Add(RequiredError(ChildPath(path, name), "must not be empty"));
      }
    }
  }

  void CheckElements(const Json& value, const SchemaNode& node, const std::string& path) {
    // Beyond the bound only the count is a mistake worth telling.
    if (node.max_items.has_value() && static_cast<int64_t>(value.size()) > *node.max_items) return;
    if (node.items != nullptr) {
      for (size_t i = 0; i < value.size() && !Full(); ++i) {
        Check(value[i], *node.items, IndexPath(path, i));
      }
    }
    if (node.list_type == ListType::kAtomic) return;
    std::map<std::string, size_t> seen;
    for (size_t i = 0; i < value.size() && !Full(); ++i) {
      Json identity = value[i];
      if (node.list_type == ListType::kMap) {
        if (!value[i].is_object()) continue;
        identity = Json::object();
        bool complete = true;
        for (const std::string& key : node.list_keys) {
          const auto it = value[i].find(key);
          if (it == value[i].end()) {
            complete = false;
          } else {
            identity[key] = *it;
          }
        }
        if (!complete) continue;  // reported as required
      }
      std::string text = DumpJson(identity);
      // Told once, however often it comes.
      if (++seen[text] == 2) Add(DuplicateError(IndexPath(path, i), text));
    }
  }

  std::vector<FieldError>* errors_;
  int64_t pattern_budget_ = kPatternBudget;
};

}  // namespace

std::string ChildPath(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : path + "." + std::string(name);
}
std::string IndexPath(const std::string& path, size_t index) {
  return path + "[" + std::to_string(index) + "]";
}

std::string_view JsonTypeName(const Json& value) {
  switch (value.type()) {
    case Json::value_t::object:
      return "object";
    case Json::value_t::array:
      return "array";
    case Json::value_t::string:
      return "string";
    case Json::value_t::boolean:
      return "boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "integer";
    case Json::value_t::number_float:
      return "number";
    default:
      return "null";
  }
}

bool IsUnchanged(const std::string& name, const Json& value, const Json* old) {
  if (old == nullptr || !old->is_object()) return false;
  const auto before = old->find(name);
  return before != old->end() && *before == value;
}

void ValidateValues(const Json& object, const Json* old, const SchemaNode& root,
                    std::vector<FieldError>* errors) {
  Validator validator(errors);
  if (root.is_root && object.is_object()) {
    validator.CheckRoot(object, old, root);
  } else {
    validator.Check(object, root, "");
  }
}

}  // namespace envicutor::standalone::schema

#include "standalone/apiserver/schema/compile.h"
#include "standalone/apiserver/schema/validate.h"

namespace envicutor::standalone::schema {
namespace {

void Add(FieldError error, std::vector<FieldError>* errors) {
  if (errors->size() < kMaxErrors) errors->push_back(std::move(error));
}

// fieldPath is ".a.b" or ".a['b-c']"; it must exist below the node.
bool FieldPathExists(std::string_view path, const SchemaNode& node) {
  const SchemaNode* at = &node;
  while (!path.empty() && at != nullptr) {
    size_t end = 0;
    std::string_view name;
    if (path.starts_with("['")) {
      end = path.find("']");
      if (end == std::string_view::npos) return false;
      name = path.substr(2, end - 2);
      end += 2;
    } else if (path.starts_with(".")) {
      end = std::min(path.find_first_of(".[", 1), path.size());
      name = path.substr(1, end - 1);
    } else {
      return false;
    }
    at = at->Member(name);
    path.remove_prefix(end);
  }
  return at != nullptr;
}

bool CompileRule(const Json& entry, const std::string& path, const SchemaNode& node, Rule* rule,
                 std::vector<FieldError>* errors) {
  const size_t before = errors->size();
  rule->text = GetString(entry, "rule");
  rule->optional_old_self = GetBool(entry, "optionalOldSelf");
  rule->message = GetString(entry, "message");
  if (rule->message.empty()) rule->message = "failed rule: " + rule->text;
  rule->reason = GetString(entry, "reason", "FieldValueInvalid");
  rule->field_path = GetString(entry, "fieldPath");
  if (rule->text.empty()) {
    Add(RequiredError(path + ".rule", "rule is not specified"), errors);
    return false;
  }
  const cel::CompileOptions options = {&node, rule->optional_old_self};
  Result<cel::Program> program = cel::Program::Compile(rule->text, cel::ResultType::kBool, options);
  if (program.ok()) {
    rule->program = *std::move(program);
  } else {
    Add(InvalidError(path + ".rule", DumpJson(Json(rule->text)), program.status().message()),
        errors);
  }
  if (const std::string text = GetString(entry, "messageExpression"); !text.empty()) {
    Result<cel::Program> message = cel::Program::Compile(text, cel::ResultType::kString, options);
    if (message.ok()) {
      rule->message_expression = *std::move(message);
    } else {
      Add(InvalidError(path + ".messageExpression", DumpJson(Json(text)),
                       message.status().message()),
          errors);
    }
  }
  const std::vector<std::string> reasons = {"FieldValueRequired", "FieldValueInvalid",
                                            "FieldValueForbidden", "FieldValueDuplicate"};
  if (std::find(reasons.begin(), reasons.end(), rule->reason) == reasons.end()) {
    Add(NotSupportedError(path + ".reason", '"' + rule->reason + '"', reasons), errors);
  }
  if (!rule->field_path.empty() && !FieldPathExists(rule->field_path, node)) {
    Add(InvalidError(path + ".fieldPath", DumpJson(Json(rule->field_path)),
                     "fieldPath must be a valid path"),
        errors);
  }
  return errors->size() == before;
}

}  // namespace

void CompileRules(const Json& schema, const std::string& path, SchemaNode* node,
                  std::vector<FieldError>* errors) {
  if (const Json& rules = At(schema, {"x-kubernetes-validations"}); rules.is_array()) {
    for (size_t i = 0; i < rules.size(); ++i) {
      Rule rule;
      if (CompileRule(rules[i], path + ".x-kubernetes-validations[" + std::to_string(i) + "]",
                      *node, &rule, errors)) {
        node->has_transition_rules = node->has_transition_rules || rule.program.UsesOldSelf();
        node->rules.push_back(std::move(rule));
      }
    }
  }
  for (auto& [name, property] : node->properties) {
    const Json& child = At(schema, {"properties", name});
    if (child.is_object()) {
      CompileRules(child, path + ".properties[" + name + "]", property.get(), errors);
      node->has_transition_rules = node->has_transition_rules || property->has_transition_rules;
    }
  }
  if (node->additional != nullptr) {
    CompileRules(schema["additionalProperties"], path + ".additionalProperties",
                 node->additional.get(), errors);
    node->has_transition_rules =
        node->has_transition_rules || node->additional->has_transition_rules;
  }
  if (node->items != nullptr) {
    CompileRules(schema["items"], path + ".items", node->items.get(), errors);
    node->has_transition_rules = node->has_transition_rules || node->items->has_transition_rules;
  }
}

}  // namespace envicutor::standalone::schema

#include "standalone/apiserver/schema/validate.h"

namespace envicutor::standalone::schema {
namespace {

// A longer message of a rule is not used, as in kube-apiserver.
constexpr size_t kMaxMessageBytes = 5U << 10U;

class RuleChecker {
 public:
  explicit RuleChecker(std::vector<FieldError>* errors) : errors_(errors) {}

  // `old` is the value that this one was before; null when there was none or it cannot be told.
  void Check(const Json& value, const Json* old, const SchemaNode& node, const std::string& path) {
    if (stopped_ || errors_->size() >= kMaxErrors || value.is_null()) return;
    if (unchanged_ && !node.has_transition_rules) return;
    for (const Rule& rule : node.rules) {
      if (unchanged_ && !rule.program.UsesOldSelf()) continue;
      const bool transition = rule.program.UsesOldSelf() && !rule.optional_old_self;
      if (transition && (old == nullptr || old->is_null())) continue;
      Evaluate(rule, value, old, node, path);
      if (stopped_) return;
    }
    if (value.is_object()) {
      Members(value, old, node, path);
    } else if (value.is_array() && node.items != nullptr) {
      for (size_t i = 0; i < value.size(); ++i) {
        Check(value[i], OldElement(value[i], old, node), *node.items, IndexPath(path, i));
      }
    }
  }

 private:
  void Members(const Json& value, const Json* old, const SchemaNode& node,
               const std::string& path) {
    for (auto it = value.begin(); it != value.end(); ++it) {
      const SchemaNode* member = node.Member(it.key());
      if (member == nullptr) continue;
      const Json* old_member = nullptr;
      if (old != nullptr && old->is_object()) {
        const auto found = old->find(it.key());
        if (found != old->end()) old_member = &*found;
      }
      if (node.is_root) unchanged_ = old_member != nullptr && *old_member == *it;
      Check(*it, old_member, *member, ChildPath(path, it.key()));
    }
    if (node.is_root) unchanged_ = false;
  }

  // Elements are the same across an update only where the list is a map with keys.
  static const Json* OldElement(const Json& element, const Json* old, const SchemaNode& node) {
    if (old == nullptr || !old->is_array() || node.list_type != ListType::kMap) return nullptr;
    for (const Json& candidate : *old) {
      bool same = candidate.is_object() && element.is_object();
      for (const std::string& key : node.list_keys) {
        same = same && At(candidate, {key}) == At(element, {key});
      }
      if (same) return &candidate;
    }
    return nullptr;
  }

  void Evaluate(const Rule& rule, const Json& value, const Json* old, const SchemaNode& node,
                const std::string& path) {
    const std::string shown = '"' + std::string(NodeTypeName(node.type)) + '"';
    const std::string place = path.empty() && rule.field_path.empty() ? "<nil>" : path;
    const Result<bool> holds = rule.program.EvalBool(value, old, &budget_);
    if (!holds.ok()) {
      stopped_ = holds.status().code() == Code::kResourceExhausted;
      errors_->push_back(
          InvalidError(place, shown,
                       stopped_ ? holds.status().message()
                                : holds.status().message() + " evaluating rule: " + rule.message));
      return;
    }
    if (!*holds) errors_->push_back(Failure(rule, Message(rule, value, old), place, shown));
  }

  std::string Message(const Rule& rule, const Json& value, const Json* old) {
    if (!rule.message_expression.has_value()) return rule.message;
    const Result<std::string> message = rule.message_expression->EvalString(value, old, &budget_);
    const bool usable = message.ok() && !message->empty() && message->size() <= kMaxMessageBytes &&
                        message->find('\n') == std::string::npos;
    return usable ? *message : rule.message;
  }

  static FieldError Failure(const Rule& rule, const std::string& message, const std::string& place,
                            const std::string& shown) {
    std::string field = place;
    if (!rule.field_path.empty()) {
      field = place.empty() && rule.field_path.starts_with(".") ? rule.field_path.substr(1)
                                                                : place + rule.field_path;
    }
    if (rule.reason == "FieldValueRequired") return RequiredError(field, message);
    if (rule.reason == "FieldValueForbidden") return ForbiddenError(field, message);
    if (rule.reason == "FieldValueDuplicate") return DuplicateError(field, shown);
    return InvalidError(field, shown, message);
  }

  std::vector<FieldError>* errors_;
  int64_t budget_ = cel::kPerObjectBudget;
  bool stopped_ = false;
  bool unchanged_ = false;  // the member of the root that is being looked at is as it was
};

}  // namespace

void ValidateRules(const Json& object, const Json* old, const SchemaNode& root,
                   std::vector<FieldError>* errors) {
  RuleChecker(errors).Check(object, old, root, "");
}

}  // namespace envicutor::standalone::schema

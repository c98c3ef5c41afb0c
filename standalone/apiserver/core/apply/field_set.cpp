#include "standalone/apiserver/core/apply/field_set.h"

namespace envicutor::standalone {
namespace {

constexpr int kMaxDepth = 128;
constexpr const char* kSelf = ".";

bool IsElement(const std::string& key) {
  if (key == kSelf) return true;
  if (key.size() < 2 || key[1] != ':') return false;
  switch (key[0]) {
    case 'f':
      return true;
    case 'i':
      return key.find_first_not_of("-0123456789", 2) == std::string::npos && key.size() > 2;
    case 'k': {
      const Result<Json> keys = ParseJson(std::string_view(key).substr(2), 8);
      return keys.ok() && keys->is_object() && !keys->empty();
    }
    case 'v':
      return ParseJson(std::string_view(key).substr(2), 8).ok();
    default:
      return false;
  }
}

bool IsNode(const Json& node, int depth) {
  if (!node.is_object() || depth > kMaxDepth) return false;
  for (auto it = node.begin(); it != node.end(); ++it) {
    if (!IsElement(it.key()) || !IsNode(*it, depth + 1)) return false;
    if (it.key() == kSelf && !it->empty()) return false;
  }
  return true;
}

// Two sets node by node: which paths stay of those that are only in a, only in b, in both.
Json Combine(const Json& a, const Json& b, bool only_a, bool only_b, bool both) {
  Json out = Json::object();
  const auto add = [&](const std::string& key, const Json* left, const Json* right) {
    if (left == nullptr || right == nullptr) {
      if (left != nullptr ? only_a : only_b) out[key] = left != nullptr ? *left : *right;
      return;
    }
    const bool in_a = IsInSet(*left);
    const bool in_b = IsInSet(*right);
    const bool in_set = in_a && in_b ? both : in_a ? only_a : in_b && only_b;
    AddNode(&out, key, in_set, Combine(*left, *right, only_a, only_b, both));
  };
  auto left = a.begin();
  auto right = b.begin();
  while (left != a.end() || right != b.end()) {
    const int order = left == a.end() ? 1 : right == b.end() ? -1 : left.key().compare(right.key());
    const std::string& key = order <= 0 ? left.key() : right.key();
    if (key != kSelf) {
      add(key, order <= 0 ? &*left : nullptr, order >= 0 ? &*right : nullptr);
    }
    if (order <= 0) ++left;
    if (order >= 0) ++right;
  }
  return out;
}

std::string Shown(const std::string& element) {
  const std::string rest = element.substr(2);
  switch (element[0]) {
    case 'f':
      return "." + rest;
    case 'v':
      return "[=" + rest + "]";
    case 'k': {
      const Result<Json> keys = ParseJson(rest);
      if (!keys.ok() || !keys->is_object()) return "[" + rest + "]";
      std::string text = "[";
      for (auto it = keys->begin(); it != keys->end(); ++it) {
        text += (text.size() > 1 ? "," : "") + it.key() + "=" + DumpJson(*it);
      }
      return text + "]";
    }
    default:
      return "[" + rest + "]";
  }
}

void Visit(const Json& node, const std::string& path,
           const std::function<void(const std::string&)>& visit) {
  for (auto it = node.begin(); it != node.end(); ++it) {
    if (it.key() == kSelf) continue;
    const std::string here = path + Shown(it.key());
    if (IsInSet(*it)) visit(here);
    Visit(*it, here, visit);
  }
}

}  // namespace

bool IsFieldSet(const Json& fields) { return IsNode(fields, 0); }

bool IsInSet(const Json& node) { return node.empty() || node.contains(kSelf); }

void AddNode(Json* parent, std::string element, bool in_set, Json below) {
  if (below.empty() && !in_set) return;
  if (in_set && !below.empty()) below[kSelf] = Json::object();
  (*parent)[std::move(element)] = std::move(below);
}

Json Union(const Json& a, const Json& b) { return Combine(a, b, true, true, true); }
Json UnionOf(std::span<const Json* const> sets) {
  if (sets.empty()) return Json::object();
  if (sets.size() == 1) return *sets[0];
  const size_t half = sets.size() / 2;
  return Union(UnionOf(sets.first(half)), UnionOf(sets.subspan(half)));
}
Json Difference(const Json& a, const Json& b) { return Combine(a, b, true, false, false); }
Json Intersection(const Json& a, const Json& b) { return Combine(a, b, false, false, true); }

bool Intersect(const Json& a, const Json& b) {
  for (auto it = a.begin(); it != a.end(); ++it) {
    if (it.key() == kSelf) continue;
    const auto other = b.find(it.key());
    if (other == b.end()) continue;
    if ((IsInSet(*it) && IsInSet(*other)) || Intersect(*it, *other)) return true;
  }
  return false;
}

void ForEachPath(const Json& set, const std::function<void(const std::string& path)>& visit) {
  Visit(set, "", visit);
}

std::string FieldElement(const std::string& name) { return "f:" + name; }
std::string ValueElement(const Json& value) { return "v:" + DumpJson(value); }

}  // namespace envicutor::standalone

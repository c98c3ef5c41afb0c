// Sets of field paths in the form of FieldsV1 (sigs.k8s.io/structured-merge-diff): a tree whose
// keys are "f:NAME" (a member), "k:{...}" (an element of a list by its keys), "v:VALUE" (an element
// of a set) and "i:N". A path is in the set when its node is {} or has the key ".". Pure.
//
// The root is a JSON object, never itself in the set; {} is the empty set.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "common/base/json.h"

namespace envicutor::standalone {

// What a client sent as fieldsV1: keys of those four forms, values that are such nodes, at most 128
// deep.
[[nodiscard]] bool IsFieldSet(const Json& fields);

// Whether the path of a node is in the set, apart from what is below it.
[[nodiscard]] bool IsInSet(const Json& node);
// Puts a node below `parent`: `in_set`, and with the paths below it; nothing when it has neither.
void AddNode(Json* parent, std::string element, bool in_set, Json below);

[[nodiscard]] Json Union(const Json& a, const Json& b);
// Of any number, none of them null: each path is looked at a few times, however many there are.
[[nodiscard]] Json UnionOf(std::span<const Json* const> sets);
// Path by path: a path that is taken away does not take those below it with it.
[[nodiscard]] Json Difference(const Json& a, const Json& b);
[[nodiscard]] Json Intersection(const Json& a, const Json& b);
// Whether they have a path in common; makes nothing.
[[nodiscard]] bool Intersect(const Json& a, const Json& b);

// Each path in the set as errors name it: ".spec.containers[name=\"c\"].image", in order.
void ForEachPath(const Json& set, const std::function<void(const std::string& path)>& visit);

// The elements of paths.
[[nodiscard]] std::string FieldElement(const std::string& name);
[[nodiscard]] std::string ValueElement(const Json& value);

}  // namespace envicutor::standalone

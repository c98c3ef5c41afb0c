// Label and field selectors as the API takes them. Pure; immutable after parsing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "standalone/apiserver/core/api_error.h"
#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/core/resource.h"

namespace envicutor::standalone {

// "a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2". At most 8 KiB.
class LabelSelector {
 public:
  [[nodiscard]] static ApiResult<LabelSelector> Parse(std::string_view text);
  [[nodiscard]] bool Empty() const { return requirements_.empty(); }
  // Of object's metadata.labels.
  [[nodiscard]] bool Matches(const Json& object) const;
  [[nodiscard]] bool Matches(const Object& object) const;

 private:
  enum class Op { kIn, kNotIn, kExists, kNotExists, kGreater, kLess };
  struct Requirement {
    std::string key;
    Op op = Op::kIn;
    std::vector<std::string> values;
  };
  class Parser;
  [[nodiscard]] bool MatchesLabels(const Json& labels) const;

  std::vector<Requirement> requirements_;
};

// "metadata.name=x,status.phase!=Running" over the fields that the kind makes selectable.
class FieldSelector {
 public:
  // BadRequest `field label not supported: spec.foo` for any other field.
  [[nodiscard]] static ApiResult<FieldSelector> Parse(std::string_view text,
                                                      const ResourceInfo& resource);
  [[nodiscard]] bool Empty() const { return requirements_.empty(); }
  [[nodiscard]] bool Matches(const Json& object, const ResourceInfo& resource) const;
  [[nodiscard]] bool Matches(const Object& object, const ResourceInfo& resource) const;

 private:
  struct Requirement {
    std::string field;
    std::string value;
    bool equal = true;
  };
  [[nodiscard]] bool MatchesValues(
      const std::vector<std::pair<std::string, std::string>>& values) const;

  std::vector<Requirement> requirements_;
};

}  // namespace envicutor::standalone

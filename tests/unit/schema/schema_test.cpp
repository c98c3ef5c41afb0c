#include "standalone/apiserver/schema/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"

namespace envicutor::standalone::schema {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// The expected messages are those of apiextensions-apiserver 0.32 for the same schema and object.
class SchemaMessages : public ::testing::Test {
 protected:
  std::vector<std::string> Errors(Json spec) {
    spec["req"] = "x";
    return Check(*schema_, {{"spec", std::move(spec)}});
  }

  std::shared_ptr<const Schema> schema_ = SchemaOf(R"(properties: {spec: {type: object,
    required: [req], properties: {
      req: {type: string},
      s: {type: string, minLength: 2, maxLength: 4, pattern: '^[a-z]+$'},
      l: {type: array, minItems: 1, maxItems: 2, items: {type: string}},
      set: {type: array, x-kubernetes-list-type: set, items: {type: integer}},
      m: {type: object, minProperties: 1, maxProperties: 2, additionalProperties: {type: integer}},
      i: {type: integer, minimum: 0, maximum: 10, exclusiveMaximum: true},
      num: {type: number, minimum: 0.5, exclusiveMinimum: true},
      mult: {type: integer, multipleOf: 5},
      e: {type: string, enum: [a, b]},
      b: {type: boolean},
      dt: {type: string, format: date-time},
      nul: {type: string, nullable: true},
      ios: {x-kubernetes-int-or-string: true},
      one: {type: object, properties: {a: {type: string}, b: {type: string}},
            oneOf: [{required: [a]}, {required: [b]}]},
      any: {type: object, properties: {a: {type: string}, b: {type: string}},
            anyOf: [{required: [a]}, {required: [b]}]},
      all: {type: string, allOf: [{minLength: 3}, {maxLength: 5}]},
      neg: {type: string, not: {enum: [x]}},
      ml: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k],
           items: {type: object, required: [k], properties: {k: {type: string}, v: {type: string}}}}
    }}})");
  const std::string blocked_ =
      "<nil>: Invalid value: null: some validation rules were not checked because the object "
      "was invalid; correct the existing errors to complete validation";
};

TEST_F(SchemaMessages, Required) {
  EXPECT_THAT(Check(*schema_, {{"spec", Json::object()}}),
              ElementsAre("spec.req: Required value", blocked_));
  EXPECT_THAT(Check(*schema_, Json::object()), IsEmpty());
}

TEST_F(SchemaMessages, Strings) {
  EXPECT_THAT(Errors({{"s", "a"}}),
              ElementsAre("spec.s: Invalid value: \"a\": spec.s in body should be at least 2 chars "
                          "long"));
  EXPECT_THAT(Errors({{"s", "abcde"}}),
              ElementsAre("spec.s: Too long: may not be more than 4 bytes", blocked_));
  EXPECT_THAT(Errors({{"s", "A1"}}),
              ElementsAre("spec.s: Invalid value: \"A1\": spec.s in body should match '^[a-z]+$'"));
  EXPECT_THAT(Errors({{"s", "\u00e9\u00e9"}}), ElementsAre(HasSubstr("should match")));
  EXPECT_THAT(
      Errors({{"e", "c"}}),
      ElementsAre("spec.e: Unsupported value: \"c\": supported values: \"a\", \"b\"", blocked_));
  EXPECT_THAT(Errors({{"dt", "yesterday"}}),
              ElementsAre("spec.dt: Invalid value: \"yesterday\": spec.dt in body must be of type "
                          "date-time: \"yesterday\"",
                          blocked_));
}

TEST_F(SchemaMessages, Numbers) {
  EXPECT_THAT(Errors({{"i", -1}}),
              ElementsAre("spec.i: Invalid value: -1: spec.i in body should be "
                          "greater than or equal to 0"));
  EXPECT_THAT(Errors({{"i", 10}}),
              ElementsAre("spec.i: Invalid value: 10: spec.i in body should be less than 10"));
  EXPECT_THAT(Errors({{"i", 1.5}}),
              ElementsAre("spec.i: Invalid value: \"number\": spec.i in body must be of type "
                          "integer: \"number\"",
                          blocked_));
  EXPECT_THAT(Errors({{"num", 0.5}}),
              ElementsAre("spec.num: Invalid value: 0.5: spec.num in body should be greater than "
                          "0.5"));
  EXPECT_THAT(
      Errors({{"mult", 7}}),
      ElementsAre("spec.mult: Invalid value: 7: spec.mult in body should be a multiple of 5"));
  EXPECT_THAT(Errors({{"num", 1}, {"mult", 10}, {"i", 0}}), IsEmpty());
}

TEST_F(SchemaMessages, Collections) {
  EXPECT_THAT(Errors({{"l", Json::array()}}),
              ElementsAre("spec.l: Invalid value: 0: spec.l in body should have at least 1 items"));
  EXPECT_THAT(Errors({{"l", {"a", "b", "c"}}}),
              ElementsAre("spec.l: Too many: 3: must have at most 2 items", blocked_));
  EXPECT_THAT(
      Errors({{"l", {1, {{"a", 2}}}}}),
      ElementsAre("spec.l[0]: Invalid value: \"integer\": spec.l[0] in body must be of type "
                  "string: \"integer\"",
                  "spec.l[1]: Invalid value: \"object\": spec.l[1] in body must be of type "
                  "string: \"object\"",
                  blocked_));
  EXPECT_THAT(Errors({{"set", {1, 2, 1}}}), ElementsAre("spec.set[2]: Duplicate value: 1"));
  EXPECT_THAT(Errors({{"ml", {{{"k", "a"}}, {{"k", "a"}, {"v", "x"}}}}}),
              ElementsAre("spec.ml[1]: Duplicate value: {\"k\":\"a\"}"));
  EXPECT_THAT(
      Errors({{"m", {{"a", 1}, {"c.d/e", "x"}}}}),
      ElementsAre("spec.m.c.d/e: Invalid value: \"string\": spec.m.c.d/e in body must be of "
                  "type integer: \"string\"",
                  blocked_));
  EXPECT_THAT(Errors({{"m", Json::object()}}),
              ElementsAre("spec.m: Invalid value: 0: spec.m in body should have at least 1 "
                          "properties"));
}

TEST_F(SchemaMessages, TypesAndNulls) {
  EXPECT_THAT(Errors({{"b", "true"}}),
              ElementsAre("spec.b: Invalid value: \"string\": spec.b in body must be of type "
                          "boolean: \"string\"",
                          blocked_));
  EXPECT_THAT(Errors({{"nul", nullptr}}), IsEmpty());
  EXPECT_THAT(Errors({{"s", nullptr}}),
              ElementsAre("spec.s: Invalid value: \"null\": spec.s in body must be of type string: "
                          "\"null\"",
                          blocked_));
  EXPECT_THAT(Errors({{"ios", true}}),
              ElementsAre("spec.ios: Invalid value: \"boolean\": spec.ios in body must be of type "
                          "integer,string: \"boolean\"",
                          blocked_));
  EXPECT_THAT(Errors({{"ios", 5}}), IsEmpty());
  EXPECT_THAT(Errors({{"ios", "5"}}), IsEmpty());
  EXPECT_THAT(Check(*schema_, {{"spec", Json::array()}}),
              ElementsAre("spec: Invalid value: \"array\": spec in body must be of type object: "
                          "\"array\"",
                          blocked_));
}

TEST_F(SchemaMessages, Junctors) {
  EXPECT_THAT(Errors({{"one", {{"a", "1"}, {"b", "2"}}}}),
              ElementsAre("<nil>: Invalid value: \"\": \"spec.one\" must validate one and only one "
                          "schema (oneOf). Found 2 valid alternatives"));
  EXPECT_THAT(Errors({{"one", Json::object()}}),
              ElementsAre(HasSubstr("Found none valid"), "spec.one.a: Required value", blocked_));
  EXPECT_THAT(Errors({{"any", Json::object()}}),
              ElementsAre(HasSubstr("must validate at least one schema (anyOf)"),
                          "spec.any.a: Required value", blocked_));
  EXPECT_THAT(Errors({{"all", "ab"}}), ElementsAre(HasSubstr("at least 3 chars long")));
  EXPECT_THAT(Errors({{"neg", "x"}}),
              ElementsAre("<nil>: Invalid value: \"\": \"spec.neg\" must not validate the schema "
                          "(not)"));
  EXPECT_THAT(Errors({{"neg", "y"}, {"all", "abc"}, {"one", {{"a", "1"}}}}), IsEmpty());
}

TEST_F(SchemaMessages, AreBounded) {
  Json list = Json::array();
  for (int i = 0; i < 5000; ++i) list.push_back("same");
  EXPECT_LE(Errors({{"set", list}}).size(), 101U);
  const std::vector<std::string> errors = Errors({{"e", std::string(1'000'000, 'x')}});
  EXPECT_LT(errors.front().size(), 1000U);
}

TEST(SchemaErrors, JoinAsKubernetesDoes) {
  const FieldError a = RequiredError("spec.a", "");
  const FieldError b = ForbiddenError("spec.b", "no");
  EXPECT_EQ(InvalidMessage("Thing.x.io", "n", {a}),
            "Thing.x.io \"n\" is invalid: spec.a: Required "
            "value");
  EXPECT_EQ(InvalidMessage("Thing.x.io", "n", {a, b}),
            "Thing.x.io \"n\" is invalid: [spec.a: Required value, spec.b: Forbidden: no]");
  EXPECT_EQ(a.reason, "FieldValueRequired");
  EXPECT_EQ(b.reason, "FieldValueForbidden");
}

class Defaulting : public ::testing::Test {
 protected:
  std::shared_ptr<const Schema> schema_ = SchemaOf(R"(properties: {
      apiVersion: {type: string}, kind: {type: string}, metadata: {type: object},
      spec: {type: object, properties: {
        a: {type: integer, default: 1}, n: {type: string, nullable: true, default: x},
        nested: {type: object, default: {}, properties: {b: {type: string, default: deep}}},
        absent: {type: object, properties: {c: {type: string, default: never}}},
        list: {type: array, items: {type: object, properties: {d: {type: boolean, default: true},
                                                               e: {type: string}}}},
        map: {type: object, additionalProperties: {type: object, properties: {
              f: {type: integer, default: 6}}}},
        open: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {
               known: {type: object, properties: {g: {type: string}}}}},
        res: {type: object, x-kubernetes-embedded-resource: true, properties: {
              spec: {type: object, properties: {h: {type: string}}}}}}}})");
};

TEST_F(Defaulting, FillsWhatIsAbsent) {
  Json object = {{"spec",
                  {{"n", nullptr},
                   {"list", {Json::object(), {{"d", false}}}},
                   {"map", {{"k", Json::object()}}}}}};
  schema_->Default(&object);
  EXPECT_EQ(object, Json({{"spec",
                           {{"a", 1},
                            {"n", nullptr},
                            {"nested", {{"b", "deep"}}},
                            {"list", {{{"d", true}}, {{"d", false}}}},
                            {"map", {{"k", {{"f", 6}}}}}}}}));
  Json with_null = {{"spec", {{"a", nullptr}}}};
  schema_->Default(&with_null);
  EXPECT_EQ(with_null["spec"]["a"], 1);
  Json empty = Json::object();
  schema_->Default(&empty);
  EXPECT_EQ(empty, Json::object());
}

TEST_F(Defaulting, PruneDropsAndUnknownFieldsTells) {
  Json object = {{"apiVersion", "v"},
                 {"kind", "k"},
                 {"metadata", {{"name", "x"}, {"odd", 1}}},
                 {"extra", 1},
                 {"spec",
                  {{"a", 1},
                   {"foo", 1},
                   {"list", {{{"e", "x"}, {"y", 1}}, 5}},
                   {"map", {{"k", {{"f", 1}, {"z", 1}}}}},
                   {"open", {{"anything", {{"goes", 1}}}, {"known", {{"g", "x"}, {"w", 1}}}}},
                   {"res",
                    {{"apiVersion", "v1"},
                     {"metadata", {{"name", "y"}}},
                     {"spec", {{"h", "x"}, {"v", 1}}}}}}}};
  EXPECT_THAT(
      schema_->UnknownFields(object),
      UnorderedElementsAre("unknown field \"extra\"", "unknown field \"metadata.odd\"",
                           "unknown field \"spec.foo\"", "unknown field \"spec.list[0].y\"",
                           "unknown field \"spec.map.k.z\"", "unknown field \"spec.open.known.w\"",
                           "unknown field \"spec.res.spec.v\""));
  schema_->Prune(&object);
  EXPECT_EQ(object["metadata"], Json({{"name", "x"}, {"odd", 1}}));
  EXPECT_FALSE(object.contains("extra"));
  EXPECT_EQ(
      object["spec"],
      Json({{"a", 1},
            {"list", {{{"e", "x"}}, 5}},
            {"map", {{"k", {{"f", 1}}}}},
            {"open", {{"anything", {{"goes", 1}}}, {"known", {{"g", "x"}}}}},
            {"res",
             {{"apiVersion", "v1"}, {"metadata", {{"name", "y"}}}, {"spec", {{"h", "x"}}}}}}));
}

TEST(SchemaCompile, MistakesAreNamed) {
  const auto contains = [](const std::string& yaml, const std::string& part) {
    EXPECT_THAT(CompileErrors(yaml), testing::Contains(HasSubstr(part))) << yaml;
  };
  contains("properties: {a: {description: x}}",
           "schema.properties[a].type: Required value: must not be empty for specified object "
           "fields");
  contains("properties: {a: {type: array}}", "schema.properties[a].items: Required value");
  contains("properties: {a: {type: strnig}}", "Unsupported value: \"strnig\"");
  contains("properties: {a: {type: string, pattern: '('}}", "must be a valid regular expression");
  contains("properties: {a: {type: integer, x-kubernetes-int-or-string: true}}",
           "must be empty when x-kubernetes-int-or-string is true");
  contains("properties: {a: {type: integer, default: x}}",
           "schema.properties[a].default: Invalid value: \"x\"");
  contains("properties: {a: {type: object, default: {b: 1}}}", "must not have unknown fields: b");
  contains("properties: {a: {type: array, items: {type: object}, x-kubernetes-list-type: map}}",
           "x-kubernetes-list-map-keys: Required value");
  contains("properties: {a: {type: string}}, additionalProperties: {type: string}",
           "mutual exclusive");
  contains("properties: {a: {type: string, anyOf: [{description: x}]}}",
           "anyOf[0].description: Forbidden: must be empty to be structural");
  contains("properties: {a: {type: array, uniqueItems: true, items: {type: string}}}",
           "uniqueItems: Forbidden");
  contains("x-kubernetes-validations: [{rule: self.b == 1}]",
           "schema.x-kubernetes-validations[0].rule: Invalid value: \"self.b == 1\": compilation "
           "failed: ERROR: <input>:1:5: undefined field 'b'");
  contains("x-kubernetes-validations: [{rule: 'true', messageExpression: '1'}]",
           "messageExpression must evaluate to a string");
  contains("x-kubernetes-validations: [{rule: 'true', reason: Odd}]", "Unsupported value: \"Odd\"");
  contains("x-kubernetes-validations: [{rule: 'true', fieldPath: .nope}]",
           "fieldPath must be a valid path");
}

class Rules : public ::testing::Test {
 protected:
  std::shared_ptr<const Schema> schema_ =
      SchemaOf(R"yaml(properties: {spec: {type: object, properties: {
      a: {type: integer}, b: {type: string},
      once: {type: string, x-kubernetes-validations: [{rule: self == oldSelf, message: cannot change}]},
      opt: {type: string, x-kubernetes-validations: [
        {rule: '!oldSelf.hasValue() || self == oldSelf.value()', optionalOldSelf: true, message: fixed}]},
      keyed: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k], items: {
        type: object, required: [k], properties: {k: {type: string}, v: {type: integer,
          x-kubernetes-validations: [{rule: self >= oldSelf, message: must not shrink}]}}}},
      plain: {type: array, items: {type: object, properties: {v: {type: integer,
          x-kubernetes-validations: [{rule: self >= oldSelf}]}}}}},
    x-kubernetes-validations: [
      {rule: '!has(self.a) || self.a < 5', messageExpression: "'a is ' + string(self.a)"},
      {rule: '!has(self.b) || self.b != "bad"', message: b is required, reason: FieldValueRequired, fieldPath: .b},
      {rule: '!has(self.a) || self.a != 3'},
      {rule: 'self.b == "x" || !has(self.a) || self.a != 2', message: asks for b}]
}
})yaml");
};

TEST_F(Rules, Messages) {
  EXPECT_THAT(Check(*schema_, {{"spec", {{"a", 7}}}}),
              ElementsAre("spec: Invalid value: \"object\": a is 7"));
  EXPECT_THAT(Check(*schema_, {{"spec", {{"b", "bad"}}}}),
              ElementsAre("spec.b: Required value: b is required"));
  EXPECT_THAT(Check(*schema_, {{"spec", {{"a", 3}}}}),
              ElementsAre("spec: Invalid value: \"object\": failed rule: !has(self.a) || self.a != "
                          "3"));
  EXPECT_THAT(
      Check(*schema_, {{"spec", {{"a", 2}}}}),
      ElementsAre("spec: Invalid value: \"object\": no such key: b evaluating rule: asks for "
                  "b"));
  EXPECT_THAT(Check(*schema_, {{"spec", {{"a", 2}, {"b", "x"}}}}), IsEmpty());
}

TEST_F(Rules, TransitionsNeedAnOldValue) {
  const Json now = {{"spec", {{"once", "b"}, {"opt", "b"}}}};
  EXPECT_THAT(Check(*schema_, now), IsEmpty());
  const Json without = {{"spec", Json::object()}};
  EXPECT_THAT(Check(*schema_, now, &without), IsEmpty());
  const Json before = {{"spec", {{"once", "a"}, {"opt", "a"}}}};
  EXPECT_THAT(Check(*schema_, now, &before),
              UnorderedElementsAre("spec.once: Invalid value: \"string\": cannot change",
                                   "spec.opt: Invalid value: \"string\": fixed"));
  EXPECT_THAT(Check(*schema_, before, &before), IsEmpty());
}

TEST_F(Rules, TransitionsFollowKeysOfMapLists) {
  const Json before = {
      {"spec",
       {{"keyed", {{{"k", "x"}, {"v", 5}}, {{"k", "y"}, {"v", 1}}}}, {"plain", {{{"v", 5}}}}}}};
  const Json now = {
      {"spec",
       {{"keyed", {{{"k", "y"}, {"v", 2}}, {{"k", "x"}, {"v", 4}}, {{"k", "z"}, {"v", 0}}}},
        {"plain", {{{"v", 1}}}}}}};
  EXPECT_THAT(Check(*schema_, now, &before),
              ElementsAre("spec.keyed[1].v: Invalid value: \"integer\": must not shrink"));
}

TEST(RulesEquality, SetsAndMapListsHaveNoOrder) {
  const auto schema = SchemaOf(R"(properties: {
      set: {type: array, x-kubernetes-list-type: set, items: {type: string},
            x-kubernetes-validations: [{rule: self == oldSelf, message: set}]},
      map: {type: array, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [k], items: {
              type: object, required: [k], properties: {k: {type: string}, v: {type: string}}},
            x-kubernetes-validations: [{rule: self == oldSelf, message: map}]},
      atomic: {type: array, items: {type: string},
               x-kubernetes-validations: [{rule: self == oldSelf, message: atomic}]}})");
  const auto changed = [&](const std::string& from, const std::string& to) {
    const Json old = FromYaml(from);
    return !Check(*schema, FromYaml(to), &old).empty();
  };
  EXPECT_FALSE(changed("{set: [a, b]}", "{set: [b, a]}"));
  EXPECT_TRUE(changed("{set: [a, b]}", "{set: [a, c]}"));
  EXPECT_TRUE(changed("{atomic: [a, b]}", "{atomic: [b, a]}"));
  EXPECT_FALSE(changed("{map: [{k: a, v: x}, {k: b}]}", "{map: [{k: b}, {k: a, v: x}]}"));
  EXPECT_TRUE(changed("{map: [{k: a, v: x}, {k: b}]}", "{map: [{k: b, v: x}, {k: a}]}"));
  // Not valid, and not equal either way round.
  const Json old = {{"set", {"a", "b"}}};
  EXPECT_THAT(Check(*schema, {{"set", {"b", "b"}}}, &old),
              ElementsAre("set[1]: Duplicate value: \"b\"", HasSubstr("set")));
  EXPECT_THAT(Check(*schema, {{"set", {"b", "b", "b"}}}), ElementsAre(HasSubstr("set[1]")));
}

TEST(RulesCost, OneObjectCannotCostTooMuch) {
  const auto schema = SchemaOf(R"(properties: {l: {type: array, items: {type: integer}}},
    x-kubernetes-validations: [{rule: 'self.l.all(x, self.l.all(y, self.l.all(z, true)))'}])");
  Json list = Json::array();
  for (int i = 0; i < 1000; ++i) list.push_back(i);
  EXPECT_THAT(Check(*schema, {{"l", list}}), ElementsAre(HasSubstr("running out of cost budget")));
}

}  // namespace
}  // namespace envicutor::standalone::schema

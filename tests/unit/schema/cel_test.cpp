#include "standalone/apiserver/schema/cel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "standalone/apiserver/schema/node.h"
#include "support.h"

namespace envicutor::standalone::schema {
namespace {

using ::testing::HasSubstr;

// "true", "false", or the error.
std::string Eval(const std::string& source, const Json& self = Json::object(),
                 const Json* old = nullptr) {
  cel::CompileOptions options;
  const Result<cel::Program> program =
      cel::Program::Compile(source, cel::ResultType::kBool, options);
  if (!program.ok()) return program.status().message();
  int64_t budget = cel::kPerObjectBudget;
  const Result<bool> result = program->EvalBool(self, old, &budget);
  if (!result.ok()) return result.status().message();
  return *result ? "true" : "false";
}

TEST(Cel, ExpressionsThatHold) {
  for (const char* source :
       {// Arithmetic and precedence.
        "1 + 2 * 3 == 7", "(1 + 2) * 3 == 9", "7 / 2 == 3", "-7 / 2 == -3", "-7 % 3 == -1",
        "10 - 2 - 3 == 5", "2.5 * 2.0 == 5.0", "1u + 2u == 3u", "0x1F == 31", "1e3 == 1000.0",
        "-9223372036854775808 < 0", "- - 5 == 5", "!!true", "1 < 1.5", "2u > 1", "3 >= 3.0",
        // Strings.
        "'a' + \"b\" == 'ab'", "'''it's'''.size() == 4", "r'\\d' == '\\\\d'", "'\\u00e9' == 'é'",
        "size('héllo') == 5", "'abc' < 'abd'", "'\\x41\\101' == 'AA'",
        "'hello'.startsWith('he') && 'hello'.endsWith('lo') && 'hello'.contains('ell')",
        "'Hello'.lowerAscii() == 'hello' && 'Hello'.upperAscii() == 'HELLO'", "' x '.trim() == 'x'",
        "'a,b,c'.split(',') == ['a', 'b', 'c']", "'a,b,c'.split(',', 2) == ['a', 'b,c']",
        "['a', 'b'].join('-') == 'a-b'", "'abcabc'.replace('b', 'X') == 'aXcaXc'",
        "'abcabc'.replace('b', 'X', 1) == 'aXcabc'", "'abc'.charAt(1) == 'b'",
        "'héllo'.indexOf('l') == 2", "'abab'.lastIndexOf('ab') == 2",
        "'tacocat'.substring(4) == 'cat'", "'tacocat'.substring(0, 4) == 'taco'",
        "'abc 123'.find('[0-9]+') == '123'", "'a1b22'.findAll('[0-9]+') == ['1', '22']",
        "'abc'.matches('^[a-c]+$')", "!'abc'.matches('^[a-b]+$')", "b'ab' == bytes('ab')",
        // Lists and maps.
        "[1, 2] + [3] == [1, 2, 3]", "2 in [1, 2]", "!('x' in ['y'])", "'k' in {'k': 1}",
        "{'a': 1, 'b': 2}['b'] == 2", "{'a': {'b': 3}}.a.b == 3", "[1, 2, 3][1] == 2",
        "size({'a': 1}) == 1", "[1, 2, 3].all(x, x > 0)", "[1, 2].exists(x, x == 2)",
        "[1, 2, 2].exists_one(x, x == 1)", "![1, 2, 2].exists_one(x, x == 2)",
        "[1, 2].map(x, x * 2) == [2, 4]", "[1, 2, 3].filter(x, x > 1) == [2, 3]",
        "[1, 2, 3].map(x, x > 1, x * 10) == [20, 30]", "{'a': 1}.all(k, k == 'a')",
        "[3, 1, 2].min() == 1 && [3, 1, 2].max() == 3 && [1, 2, 3].sum() == 6",
        "[1, 2, 2].isSorted() && ![2, 1].isSorted()", "[1, 2, 1].indexOf(1) == 0",
        "[1, 2, 1].lastIndexOf(1) == 2", "[[1], [2]].all(l, l.all(x, x > 0))",
        // Conversions and types.
        "int('42') == 42 && int(3.9) == 3 && double('1.5') == 1.5 && string(7) == '7'",
        "string(true) == 'true' && bool('false') == false && uint(3) == 3u",
        "type(1) == int && type('x') == string && type([]) == list", "string(1.5) == '1.5'",
        // Time.
        "duration('1m30s') == duration('90s')", "duration('1h').getMinutes() == 60",
        "timestamp('2026-01-01T00:00:00Z') + duration('1h') == "
        "timestamp('2026-01-01T01:00:00Z')",
        "timestamp('2026-03-04T05:06:07Z').getMonth() == 2",
        "timestamp('2026-01-02T00:00:00Z') > timestamp('2026-01-01T23:59:59Z')",
        // Quantities.
        "quantity('1.5Gi').isGreaterThan(quantity('1500Mi'))",
        "quantity('1000m').compareTo(quantity('1')) == 0", "isQuantity('100k')",
        "!isQuantity('12Qi')", "quantity('2Ki').asInteger() == 2048",
        "quantity('50k').add(quantity('20k')).sub(20000) == quantity('50k')",
        "!quantity('1500m').isInteger()", "sign(quantity('-1')) == -1",
        // Optionals.
        "optional.of(1).hasValue() && !optional.none().hasValue()",
        "{'a': 1}.?a.orValue(2) == 1 && {'a': 1}.?b.orValue(2) == 2",
        "{'a': {'b': 5}}.?a.?b.value() == 5", "[1][?0].orValue(9) == 1 && [1][?4].orValue(9) == 9",
        "optional.of(2).optMap(x, x + 1).value() == 3",
        // Short circuits and errors.
        "false && (1 / 0 == 0) || true", "(1 / 0 == 0) || true", "!((1 / 0 == 0) && false)",
        "true ? true : 1 / 0 == 0", "[0, 1].exists(x, 1 / x == 1)",
        "!has({'a': 1}.b) && has({'a': 1}.a)", "null == null", "1 != 'a' || true // comment"}) {
    const std::string result = Eval(source);
    if (std::string(source).starts_with("1 != 'a'")) {
      EXPECT_THAT(result, HasSubstr("no matching overload")) << source;
    } else {
      EXPECT_EQ(result, "true") << source;
    }
  }
}

TEST(Cel, RunTimeErrors) {
  const Json self = {{"list", {1, 2}}, {"text", "abc"}, {"n", 9223372036854775807}};
  EXPECT_EQ(Eval("self.nothing == 1", self), "no such key: nothing");
  EXPECT_EQ(Eval("self.list[2] == 1", self), "index out of bounds: 2");
  EXPECT_EQ(Eval("self.list[-1] == 1", self), "index out of bounds: -1");
  EXPECT_EQ(Eval("1 / 0 == 1"), "division by zero");
  EXPECT_EQ(Eval("1 % 0 == 1"), "modulus by zero");
  EXPECT_EQ(Eval("self.n + 1 > 0", self), "integer overflow");
  EXPECT_EQ(Eval("-(-9223372036854775808) > 0"), "integer overflow");
  EXPECT_EQ(Eval("self.text + 1 == 'x'", self), "no such overload");
  EXPECT_EQ(Eval("self.text && true", self), "no such overload");
  EXPECT_THAT(Eval("int(self.text) == 1", self), HasSubstr("type conversion error"));
  EXPECT_THAT(Eval("self.text.matches('(')", self), HasSubstr("error parsing regexp"));
  EXPECT_EQ(Eval("{'a': 1, 'a': 2}.a == 1"), "Failed with repeated key: a");
  EXPECT_EQ(Eval("optional.none().value() == 1"), "optional.none() dereference");
  EXPECT_EQ(Eval("self.list.all(x, self.text.size() / (x - 1) >= 0)", self), "division by zero");
}

TEST(Cel, CompileErrorsNameThePlace) {
  EXPECT_EQ(Eval("1 +"),
            "compilation failed: ERROR: <input>:1:4: Syntax error: mismatched input "
            "'<EOF>'\n | 1 +\n | ...^");
  EXPECT_THAT(Eval("foo == 1"), HasSubstr("undeclared reference to 'foo' (in container '')"));
  EXPECT_THAT(Eval("nope(1)"), HasSubstr("undeclared reference to 'nope'"));
  EXPECT_THAT(Eval("1 + 'a' == 2"), HasSubstr("'_+_' applied to '(int, string)'"));
  EXPECT_THAT(Eval("'a'.startsWith(1)"), HasSubstr("applied to 'string.(int)'"));
  EXPECT_THAT(Eval("1 && true"), HasSubstr("expected type 'bool' but found 'int'"));
  EXPECT_THAT(Eval("[1].all(1, true)"), HasSubstr("argument must be a simple name"));
  EXPECT_THAT(Eval("(1).all(x, true)"), HasSubstr("cannot be range of a comprehension"));
  EXPECT_THAT(Eval("has(self)"), HasSubstr("invalid argument to has() macro"));
  EXPECT_THAT(Eval("'abc"), HasSubstr("unterminated string"));
  EXPECT_THAT(Eval("'\\q' == ''"), HasSubstr("invalid escape"));
  EXPECT_THAT(Eval("99999999999999999999 > 0"), HasSubstr("invalid int literal"));
  EXPECT_THAT(Eval("package == 1"), HasSubstr("reserved identifier: package"));
  EXPECT_THAT(Eval("true @ false"), HasSubstr("token recognition error"));
  EXPECT_EQ(Eval("1"), "cel expression must evaluate to a bool");
  EXPECT_THAT(Eval("true\n  && nope"), HasSubstr("<input>:2:6:"));
}

TEST(Cel, HostileSourcesAreBounded) {
  EXPECT_THAT(Eval(std::string(100'000, '(')), HasSubstr("more than 32768 bytes"));
  EXPECT_THAT(Eval(std::string(30'000, '(')), HasSubstr("recursion limit"));
  EXPECT_THAT(Eval(std::string(30'000, '[')), HasSubstr("recursion limit"));
  std::string members = "self";
  for (int i = 0; i < 1000; ++i) members += ".a";
  EXPECT_THAT(Eval(members), HasSubstr("recursion limit"));
  std::string sum = "1";
  for (int i = 0; i < 1000; ++i) sum += "+1";
  EXPECT_THAT(Eval(sum + " == 0"), HasSubstr("recursion limit"));
  // A long chain of && is fine: rules have such.
  std::string chain = "true";
  for (int i = 0; i < 1000; ++i) chain += " && true";
  EXPECT_EQ(Eval(chain), "true");
  EXPECT_EQ(Eval(std::string(501, '!') + "true"), "false");
}

TEST(Cel, CostIsBounded) {
  Json list = Json::array();
  for (int i = 0; i < 2000; ++i) list.push_back(i);
  const Json self = {{"l", list}, {"s", std::string(200'000, 'a')}};
  EXPECT_THAT(Eval("self.l.all(x, self.l.all(y, x + y >= 0))", self), HasSubstr("cost budget"));
  EXPECT_THAT(Eval("self.l.all(x, self.s == self.s + 'b' || true)", self),
              HasSubstr("cost budget"));
  // Exponential for a backtracking engine.
  EXPECT_EQ(Eval("self.s.matches('^(a+)+b$')", self), "false");
  int64_t budget = cel::kPerObjectBudget;
  const auto program =
      cel::Program::Compile("self.l.exists(x, x == 1999)", cel::ResultType::kBool, {});
  ASSERT_TRUE(program.ok());
  EXPECT_TRUE(*program->EvalBool(self, nullptr, &budget));
  EXPECT_LT(budget, cel::kPerObjectBudget - 2000);
}

TEST(Cel, TypesComeFromTheSchema) {
  const auto schema = SchemaOf(R"(properties: {
      spec: {type: object, properties: {
        count: {type: integer}, ratio: {type: number}, when: {type: string, format: date-time},
        wait: {type: string, format: duration}, any: {x-kubernetes-int-or-string: true},
        names: {type: array, items: {type: string}}, a-b: {type: string},
        labels: {type: object, additionalProperties: {type: string}}}}})");
  ASSERT_NE(schema, nullptr);
  const Json object = {{"metadata", {{"name", "x"}, {"labels", {{"a", "b"}}}}},
                       {"spec",
                        {{"count", 3},
                         {"ratio", 2},
                         {"when", "2026-01-01T00:00:00Z"},
                         {"wait", "90s"},
                         {"any", "5"},
                         {"names", {"x", "y"}},
                         {"a-b", "dash"},
                         {"labels", {{"k-1", "v"}}}}}};
  const auto eval = [&](const std::string& source) -> std::string {
    const auto program =
        cel::Program::Compile(source, cel::ResultType::kBool, {&schema->root(), false});
    if (!program.ok()) return program.status().message();
    int64_t budget = cel::kPerObjectBudget;
    const Result<bool> result = program->EvalBool(object, nullptr, &budget);
    if (!result.ok()) return result.status().message();
    return *result ? "true" : "false";
  };
  EXPECT_EQ(eval("self.spec.ratio == 2.0"), "true");
  EXPECT_EQ(eval("self.spec.when < timestamp('2027-01-01T00:00:00Z')"), "true");
  EXPECT_EQ(eval("self.spec.wait == duration('1m30s')"), "true");
  EXPECT_EQ(eval("self.spec.a__dash__b == 'dash'"), "true");
  EXPECT_EQ(eval("self.spec.labels['k-1'] == 'v' && self.spec.labels.all(k, k != '')"), "true");
  EXPECT_EQ(eval("type(self.spec.any) == string && self.spec.any == '5'"), "true");
  EXPECT_EQ(eval("self.metadata.name == 'x' && self.kind == 'y' || true"), "true");
  EXPECT_THAT(eval("self.spec.nope == 1"), HasSubstr("undefined field 'nope'"));
  EXPECT_THAT(eval("self.metadata.labels.size() > 0"), HasSubstr("undefined field 'labels'"));
  EXPECT_THAT(eval("self.spec.count == 'x'"), HasSubstr("'_==_' applied to '(int, string)'"));
  EXPECT_THAT(eval("self.spec.names.exists(n, n > 1)"),
              HasSubstr("'_>_' applied to '(string, int)'"));
  EXPECT_THAT(eval("self.spec.ratio + 1 > 2.0"), HasSubstr("'_+_' applied to '(double, int)'"));
}

TEST(Cel, OldSelf) {
  const Json now = {{"a", 2}};
  const Json old = {{"a", 1}};
  EXPECT_EQ(Eval("self.a > oldSelf.a", now, &old), "true");
  const auto optional =
      cel::Program::Compile("oldSelf.hasValue() ? self.a > oldSelf.value().a : true",
                            cel::ResultType::kBool, {nullptr, true});
  ASSERT_TRUE(optional.ok()) << optional.status().message();
  int64_t budget = cel::kPerObjectBudget;
  EXPECT_TRUE(*optional->EvalBool(old, &now, &budget) == false);
  EXPECT_TRUE(*optional->EvalBool(old, nullptr, &budget));
  EXPECT_TRUE(optional->UsesOldSelf());
}

}  // namespace
}  // namespace envicutor::standalone::schema

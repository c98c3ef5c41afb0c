#include "standalone/apiserver/http/body.h"

#include <gtest/gtest.h>

#include "standalone/apiserver/http/accept.h"
#include "standalone/apiserver/http/json_reader.h"
#include "standalone/apiserver/http/protobuf.h"
#include "standalone/apiserver/http/request_info.h"

namespace envicutor::standalone {
namespace {

Json Yaml(std::string_view text) {
  const ApiResult<Body> body = DecodeBody("application/yaml", text);
  EXPECT_TRUE(body.ok()) << body.error().message;
  return body.ok() ? body->json : Json();
}

TEST(Body, YamlScalarsAreReadAsKubectlReadsThem) {
  const Json json = Yaml(
      "a: 1\nb: '1'\nc: true\nd: yes\ne: null\nf: 1.5\ng: 0644\nh: 2s\ni: \"\"\nj: |\n  x\n  y\n"
      "k: [1, x]\nl: {m: n}\no: +3\np: -4\nq: 1e3\nr: !!str 5\n");
  EXPECT_EQ(json, (Json{{"a", 1},
                        {"b", "1"},
                        {"c", true},
                        {"d", "yes"},
                        {"e", nullptr},
                        {"f", 1.5},
                        {"g", 420},
                        {"h", "2s"},
                        {"i", ""},
                        {"j", "x\ny\n"},
                        {"k", {1, "x"}},
                        {"l", {{"m", "n"}}},
                        {"o", 3},
                        {"p", -4},
                        {"q", 1000.0},
                        {"r", "5"}}));
}

TEST(Body, HostileYamlEndsInA400) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 8; ++j) bomb += ", " + before;
    bomb += "]\n";
  }
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "- ";
  for (const std::string& text :
       {bomb, deep, std::string(200'000, '{'), std::string("a: \xff"), std::string("a: b: c"),
        std::string("a: 1\n---\nb: 2\n"), std::string("&a [*a]"), std::string("? [x]\n: y\n")}) {
    const ApiResult<Body> body = DecodeBody("application/yaml", text);
    ASSERT_FALSE(body.ok()) << text.substr(0, 40);
    EXPECT_EQ(body.error().code, 400);
  }
}

TEST(Body, DuplicateFieldsAreNamedWithTheirPath) {
  const ApiResult<Body> json = DecodeJson(R"({"a":1,"s":{"b":[{"c":1,"c":2}],"d":1},"a":2})");
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(json->duplicate_fields, (std::vector<std::string>{"s.b.c", "a"}));
  const ApiResult<Body> yaml = DecodeBody("application/yaml", "s:\n  a: 1\n  a: 2\n");
  ASSERT_TRUE(yaml.ok());
  EXPECT_EQ(yaml->duplicate_fields, (std::vector<std::string>{"s.a"}));
}

TEST(Body, DuplicateFieldsComeInTheOrderOfTheText) {
  const ReadJson read = ReadClientJson(
      R"({"z":1,"s":[{"b":1},{"b":1,"b":{"y":[{"x":1,"x":2}],"y":0}}],"z":{"k":1,"k":2},"a":3})",
      128);
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.duplicates, (std::vector<std::string>{"s.b", "s.b.y.x", "s.b.y", "z", "z.k"}));
  EXPECT_EQ(read.value, Json::parse(R"({"a":3,"s":[{"b":1},{"b":{"y":0}}],"z":{"k":2}})"));
}

TEST(Body, OfManyDuplicatesTheFirstAreNamedAndShortly) {
  std::string text = "{";
  const std::string long_key(1U << 20U, 'k');
  // 300 keys in reverse order, each twice in a row, behind a member with a long name.
  text += "\"" + long_key + "\":{\"x\":1,\"x\":2}";
  for (int i = 300; i > 0; --i) {
    const std::string key = ",\"" + std::to_string(1000 + i) + "\":";
    text += key + "0" + key + std::to_string(i);
  }
  const ReadJson read = ReadClientJson(text + "}", 128);
  EXPECT_EQ(read.value.size(), 301U);
  EXPECT_EQ(read.value["1007"], 7);
  ASSERT_EQ(read.duplicates.size(), 100U);
  EXPECT_EQ(read.duplicates[0], long_key.substr(0, 1024));
  EXPECT_EQ(read.duplicates[1], "1300");
  EXPECT_EQ(read.duplicates[99], "1202");
  // A value there is only of a text that is whole.
  const ReadJson cut = ReadClientJson(text, 128);
  EXPECT_NE(cut.error, "");
  EXPECT_TRUE(cut.value.is_null());
  EXPECT_TRUE(cut.duplicates.empty());
}

TEST(Body, YamlBelowALongKeyCopiesItOnlyInPart) {
  const std::string key(1U << 19U, 'k');
  const ApiResult<Body> body =
      DecodeBody("application/yaml", "? " + key + "\n: {a: 1, a: 2, b: {c: 1, c: 2}}\n");
  ASSERT_TRUE(body.ok()) << body.error().message.substr(0, 200);
  EXPECT_EQ(body->json[key], (Json{{"a", 2}, {"b", {{"c", 2}}}}));
  const std::string cut = key.substr(0, 1024);
  EXPECT_EQ(body->duplicate_fields, (std::vector<std::string>{cut, cut}));
}

TEST(Body, WhatTheFastReaderLeavesIsReadAsNlohmannReadsIt) {
  for (const std::string text :
       {"\xEF\xBB\xBF{\"b\":[1,{}],\"a\":{\"d\":null,\"c\":[[],[1e-400]]}}", "\xEF\xBB\xBF[]",
        "\xEF\xBB\xBF\"x\"", "\xEF\xBB\xBF{}", "[1e-400,[{\"b\":1,\"a\":[2,3],\"b\":true}]]"}) {
    const ReadJson read = ReadClientJson(text, 128);
    EXPECT_EQ(read.error, "") << text;
    EXPECT_EQ(read.value, Json::parse(text)) << text;
  }
}

TEST(Protobuf, CutAndForgedMessagesAreRefused) {
  std::string good("k8s\0\x0a\x0d\x0a\x02v1\x12\x07Unknown", 19);
  EXPECT_EQ(DecodeProtobuf(good).error().code, 415);
  for (size_t size = 0; size < good.size(); ++size) {
    const ApiResult<Json> cut = DecodeProtobuf(std::string_view(good).substr(0, size));
    ASSERT_FALSE(cut.ok());
  }
  EXPECT_EQ(DecodeProtobuf(std::string("k8s\0\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 15))
                .error()
                .code,
            400);
}

TEST(Accept, FirstFormThatIsServed) {
  EXPECT_EQ(NegotiateForm(""), Form::kJson);
  EXPECT_EQ(NegotiateForm("*/*"), Form::kJson);
  EXPECT_EQ(NegotiateForm("application/vnd.kubernetes.protobuf, application/json"), Form::kJson);
  EXPECT_EQ(NegotiateForm("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"),
            Form::kTable);
  EXPECT_EQ(NegotiateForm("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"),
            Form::kJson);
  EXPECT_EQ(NegotiateForm("text/html"), std::nullopt);
}

TEST(RequestInfo, Paths) {
  const auto pod = ParseResourcePath("/api/v1/namespaces/n/pods/p/log");
  ASSERT_TRUE(pod);
  EXPECT_EQ(pod->ns, "n");
  EXPECT_EQ(pod->resource, "pods");
  EXPECT_EQ(pod->name, "p");
  EXPECT_EQ(pod->subresource, "log");
  const auto ns = ParseResourcePath("/api/v1/namespaces/n/status");
  ASSERT_TRUE(ns);
  EXPECT_EQ(ns->resource, "namespaces");
  EXPECT_EQ(ns->subresource, "status");
  const auto custom = ParseResourcePath("/apis/g.io/v1/namespaces/n/widgets");
  ASSERT_TRUE(custom);
  EXPECT_EQ(custom->group, "g.io");
  EXPECT_EQ(custom->name, "");
  EXPECT_FALSE(ParseResourcePath("/api/v1"));
  EXPECT_FALSE(ParseResourcePath("/apis/g.io/v1"));
  EXPECT_FALSE(ParseResourcePath("/api/v1/namespaces/n/pods/p/log/more"));
}

}  // namespace
}  // namespace envicutor::standalone

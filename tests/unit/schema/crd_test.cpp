#include "standalone/apiserver/schema/crd.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.h"

namespace envicutor::standalone::schema {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json Crd() {
  return FromYaml(R"({metadata: {name: things.t.io}, spec: {group: t.io, scope: Namespaced,
    names: {plural: things, kind: Thing}, versions: [{name: v1, served: true, storage: true,
    schema: {openAPIV3Schema: {type: object}}}]}})");
}

std::vector<std::string> Mistakes(const Json& crd) {
  std::vector<FieldError> errors;
  EXPECT_EQ(CompileCrd(crd, &errors), nullptr);
  std::vector<std::string> out;
  for (const FieldError& error : errors) out.push_back(FormatFieldError(error));
  return out;
}

TEST(Crd, Defaults) {
  const auto crd = Compiled(Crd());
  ASSERT_NE(crd, nullptr);
  EXPECT_EQ(crd->names.singular, "thing");
  EXPECT_EQ(crd->names.list_kind, "ThingList");
  ASSERT_NE(crd->Version("v1"), nullptr);
  EXPECT_EQ(crd->StorageVersion(), crd->Version("v1"));
  EXPECT_EQ(crd->Version("v2"), nullptr);
  ASSERT_EQ(crd->versions.front().columns.size(), 1U);
  EXPECT_EQ(crd->versions.front().columns.front().name, "Age");
}

TEST(Crd, MistakesAreNamed) {
  EXPECT_THAT(Mistakes(Json::object()), Contains(HasSubstr("spec.group")));
  Json crd = Crd();
  crd["metadata"]["name"] = "x";
  EXPECT_THAT(Mistakes(crd), ElementsAre("metadata.name: Invalid value: \"x\": must be "
                                         "spec.names.plural+\".\"+spec.group"));
  crd = Crd();
  crd["spec"]["scope"] = "World";
  EXPECT_THAT(Mistakes(crd),
              ElementsAre("spec.scope: Unsupported value: \"World\": supported values: "
                          "\"Cluster\", \"Namespaced\""));
  crd = Crd();
  crd["spec"]["versions"][0]["storage"] = false;
  EXPECT_THAT(Mistakes(crd),
              ElementsAre(HasSubstr("exactly one version marked as storage version")));
  crd = Crd();
  crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = {{"type", "odd"}};
  EXPECT_THAT(Mistakes(crd), Contains(HasSubstr("spec.versions[0].schema.openAPIV3Schema.properties"
                                                "[spec].type: Unsupported value: \"odd\"")));
  crd = Crd();
  crd["spec"]["versions"][0]["additionalPrinterColumns"] = {
      {{"name", "A"}, {"type", "text"}, {"jsonPath", ".a["}}};
  EXPECT_THAT(Mistakes(crd),
              ElementsAre(HasSubstr("additionalPrinterColumns[0].type: Unsupported value"),
                          HasSubstr("additionalPrinterColumns[0].jsonPath: Invalid value")));
  crd = Crd();
  crd["spec"]["versions"][0]["subresources"] = {
      {"scale", {{"specReplicasPath", "status.x"}, {"statusReplicasPath", ".status.n"}}}};
  EXPECT_THAT(Mistakes(crd), ElementsAre(HasSubstr("scale.specReplicasPath: Invalid value")));
  crd = Crd();
  crd["spec"]["conversion"] = {{"strategy", "Webhook"}};
  EXPECT_THAT(Mistakes(crd), ElementsAre(HasSubstr("spec.conversion.strategy: Unsupported value")));
}

TEST(Crd, SelectableFieldsOfBuiltins) {
  const Json pod = FromYaml(R"({metadata: {name: p, namespace: n}, spec: {nodeName: w},
    status: {phase: Running}})");
  const auto values = SelectableValues("", "pods", pod);
  EXPECT_THAT(values, Contains(testing::Pair("spec.nodeName", "w")));
  EXPECT_THAT(values, Contains(testing::Pair("status.phase", "Running")));
  EXPECT_THAT(values, Contains(testing::Pair("metadata.namespace", "n")));
  const Json event =
      FromYaml("{involvedObject: {kind: Pod, name: p}, reason: R, source: {component: c}}");
  EXPECT_THAT(SelectableValues("", "events", event),
              Contains(testing::Pair("involvedObject.name", "p")));
  EXPECT_THAT(SelectableValues("", "events", event), Contains(testing::Pair("source", "c")));
  EXPECT_EQ(SelectableValues("", "configmaps", Json::object()).size(), 2U);
}

}  // namespace
}  // namespace envicutor::standalone::schema

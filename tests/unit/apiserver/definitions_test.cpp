// CustomResourceDefinitions that change and go, and what becomes of the objects of their kinds.
#include "tests/unit/apiserver/fixture.h"

namespace envicutor::standalone {
namespace {

constexpr const char* kCrdsName = "customresourcedefinitions";
constexpr const char* kWidgets = "widgets.example.com";

class DefinitionsTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    MustCreate(kCrdsName, WidgetCrd());
    Settle();
  }
  ApiResult<Answer> PatchCrd(const std::string& name, const Json& patch,
                             const std::string& subresource = "") {
    auto answer = Patch(kCrdsName, name, PatchKind::kMerge, patch, subresource);
    Settle();
    return answer;
  }
  void Unserve() {
    ASSERT_TRUE(
        Patch(kCrdsName, kWidgets, PatchKind::kJson,
              Json::array(
                  {{{"op", "replace"}, {"path", "/spec/versions/0/served"}, {"value", false}}}))
            .ok());
    Settle();
    ASSERT_EQ(Resource(kWidgets), nullptr);
  }
  [[nodiscard]] size_t Stored() const { return store_->CountHead("example.com/widgets", ""); }
  // The same kind of objects under another name.
  static Json Another(const std::string& plural) {
    Json crd = WidgetCrd();
    crd["spec"]["names"] = {{"plural", plural}, {"kind", "Widget"}};
    crd["metadata"]["name"] = plural + ".example.com";
    return crd;
  }
  std::string Condition(const std::string& name, const std::string& type) {
    const Json crd = Get(kCrdsName, name);
    for (const Json& condition : At(crd, {"status", "conditions"})) {
      if (GetString(condition, "type") == type) return GetString(condition, "status");
    }
    return "";
  }
};

TEST_F(DefinitionsTest, OneThatServesNothingTakesItsObjectsWithIt) {
  MustCreate("widgets", Widget("one"));
  Unserve();
  ASSERT_EQ(Stored(), 1U);
  ASSERT_TRUE(Delete(kCrdsName, kWidgets).ok());
  Settle();
  EXPECT_EQ(Get(kCrdsName, kWidgets), nullptr);
  EXPECT_EQ(Stored(), 0U);
}

TEST_F(DefinitionsTest, OneThatServesNothingWaitsForObjectsThatAreHeld) {
  Json held = Widget("one");
  held["metadata"]["finalizers"] = {"example.com/held"};
  MustCreate("widgets", held);
  Unserve();
  ASSERT_TRUE(Delete(kCrdsName, kWidgets).ok());
  Settle();
  const ObjectPtr object = store_->Get("example.com/widgets", "default/one");
  ASSERT_NE(object, nullptr);
  EXPECT_TRUE(object->IsTerminating());
  EXPECT_TRUE(IsTerminating(Get(kCrdsName, kWidgets)));
  // Served again, whoever holds it can let it go.
  ASSERT_TRUE(
      Patch(
          kCrdsName, kWidgets, PatchKind::kJson,
          Json::array({{{"op", "replace"}, {"path", "/spec/versions/0/served"}, {"value", true}}}))
          .ok());
  Settle();
  ASSERT_TRUE(
      Patch("widgets", "one", PatchKind::kMerge, {{"metadata", {{"finalizers", nullptr}}}}).ok());
  Settle();
  EXPECT_EQ(Get(kCrdsName, kWidgets), nullptr);
  EXPECT_EQ(Stored(), 0U);
}

TEST_F(DefinitionsTest, OneOfABuiltInKindGoesWithoutItsObjects) {
  MustCreate("leases", {{"metadata", {{"name", "held"}}}});
  Json crd = WidgetCrd();
  crd["metadata"]["name"] = "leases.coordination.k8s.io";
  crd["spec"]["group"] = "coordination.k8s.io";
  crd["spec"]["names"] = {{"plural", "leases"}, {"kind", "Leaze"}};
  MustCreate(kCrdsName, crd);
  Settle();
  EXPECT_EQ(Condition("leases.coordination.k8s.io", "Established"), "False");
  ASSERT_TRUE(Delete(kCrdsName, "leases.coordination.k8s.io").ok());
  Settle();
  EXPECT_EQ(Get(kCrdsName, "leases.coordination.k8s.io"), nullptr);
  EXPECT_NE(Get("leases", "held"), nullptr);
}

TEST_F(DefinitionsTest, AnEstablishedOneKeepsItsKindAndItsScope) {
  MustCreate("widgets", Widget("one"));
  const Json before = Get(kCrdsName, kWidgets);
  const auto refused =
      PatchCrd(kWidgets, {{"spec", {{"scope", "Cluster"}, {"names", {{"kind", "Gadget"}}}}}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, 422);
  EXPECT_EQ(refused.error().message,
            "CustomResourceDefinition.apiextensions.k8s.io \"widgets.example.com\" is invalid: "
            "[spec.scope: Invalid value: \"Cluster\": field is immutable, spec.names.kind: Invalid "
            "value: \"Gadget\": field is immutable]");
  EXPECT_EQ(Get(kCrdsName, kWidgets), before);
  EXPECT_TRUE(PatchCrd(kWidgets, {{"spec", {{"names", {{"shortNames", {"wg"}}}}}}}).ok());
  EXPECT_TRUE(Delete("widgets", "one").ok());
}

TEST_F(DefinitionsTest, OneThatWaitsForItsNameMayTakeAnother) {
  MustCreate(kCrdsName, Another("gadgets"));
  Settle();
  ASSERT_EQ(Condition("gadgets.example.com", "Established"), "False");
  const auto renamed = PatchCrd(
      "gadgets.example.com", {{"spec", {{"scope", "Cluster"}, {"names", {{"kind", "Gadget"}}}}}});
  ASSERT_TRUE(renamed.ok()) << renamed.error().message;
  EXPECT_EQ(Condition("gadgets.example.com", "Established"), "True");
  EXPECT_NE(Resource("gadgets.example.com"), nullptr);
}

}  // namespace
}  // namespace envicutor::standalone

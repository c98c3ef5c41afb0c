// Who owns what of a custom resource's metadata after a write of its status that leaves some of it
// out or says something else. The answers are those of a kube-apiserver 1.34, asked the same.
#include "tests/unit/apiserver/fixture.h"

namespace envicutor::standalone {
namespace {

constexpr const char* kName = "one";

class StatusMetadataTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    MustCreate("customresourcedefinitions", WidgetCrd());
    Settle();
    Apply({{"labels", {{"l", "1"}}}, {"annotations", {{"q", "1"}}}, {"finalizers", {"a.io/f"}}});
  }
  void Apply(Json metadata) {
    metadata["name"] = kName;
    const Json config = {{"apiVersion", "example.com/v1"},
                         {"kind", "Widget"},
                         {"metadata", std::move(metadata)},
                         {"spec", {{"size", 1}}}};
    WriteOptions options;
    options.manager = "gitops";
    const auto answer =
        api_->Apply(*Resource("widgets"), "default", kName, "", config, false, options);
    ASSERT_TRUE(answer.ok()) << answer.error().message;
  }
  void PutStatus(const Json& metadata) {
    Json object = Widget(kName, 9);
    object["metadata"].update(metadata);
    object["metadata"]["resourceVersion"] = MetaString(Get("widgets", kName), "resourceVersion");
    object["status"] = {{"phase", "Done"}};
    WriteOptions options;
    options.manager = "me";
    const auto answer =
        api_->Update(*Resource("widgets"), "default", kName, "status", object, options);
    ASSERT_TRUE(answer.ok()) << answer.error().message;
  }
  // What the manager owns, for "status" or for the object itself; null: nothing.
  Json Owned(const std::string& manager, const std::string& subresource = "") {
    const Json object = Get("widgets", kName);
    for (const Json& entry : At(object, {"metadata", "managedFields"})) {
      if (entry["manager"] == manager && GetString(entry, "subresource") == subresource) {
        return entry["fieldsV1"];
      }
    }
    return nullptr;
  }

  const Json leaf_ = Json::object();
  const Json own_spec_ = {{"f:size", Json::object()}};
};

TEST_F(StatusMetadataTest, WhatItLeavesOutIsTakenFromItsOwnersAndStays) {
  PutStatus(Json::object());
  EXPECT_EQ(Owned("gitops"), (Json{{"f:spec", own_spec_}}));
  EXPECT_EQ(Owned("me", "status"), (Json{{"f:status", {{".", leaf_}, {"f:phase", leaf_}}}}));
  const Json kept = Get("widgets", kName);
  EXPECT_EQ(kept["metadata"]["labels"], (Json{{"l", "1"}}));
  EXPECT_EQ(kept["metadata"]["finalizers"], (Json{"a.io/f"}));
  EXPECT_EQ(kept["spec"]["size"], 1);
  // Who applied the label once can take it away no more.
  Apply({{"annotations", {{"q", "1"}}}});
  EXPECT_EQ(Get("widgets", kName)["metadata"]["labels"], (Json{{"l", "1"}}));
}

TEST_F(StatusMetadataTest, WhatItSaysIsItsOwnAndIsNotWritten) {
  PutStatus({{"labels", {{"l", "2"}, {"new", "2"}}}, {"annotations", {{"q", "1"}}}});
  EXPECT_EQ(Owned("gitops"),
            (Json{{"f:metadata", {{"f:annotations", {{"f:q", leaf_}}}}}, {"f:spec", own_spec_}}));
  EXPECT_EQ(Owned("me", "status"),
            (Json{{"f:metadata", {{"f:labels", {{"f:l", leaf_}, {"f:new", leaf_}}}}},
                  {"f:status", {{".", leaf_}, {"f:phase", leaf_}}}}));
  EXPECT_EQ(Get("widgets", kName)["metadata"]["labels"], (Json{{"l", "1"}}));
}

TEST_F(StatusMetadataTest, APatchThatTakesLabelsAwayTakesThemFromTheirOwnerOnly) {
  WriteOptions options;
  options.manager = "me";
  const Json before = Owned("gitops");
  ASSERT_TRUE(Patch("widgets", kName, PatchKind::kMerge, {{"metadata", {{"labels", nullptr}}}},
                    "status", options)
                  .ok());
  Json wanted = before;
  wanted["f:metadata"].erase("f:labels");
  EXPECT_EQ(Owned("gitops"), wanted);
  EXPECT_EQ(Get("widgets", kName)["metadata"]["labels"], (Json{{"l", "1"}}));
}

TEST_F(StatusMetadataTest, WithoutMetadataOrWithTheSameNothingIsTaken) {
  const Json before = Owned("gitops");
  ASSERT_TRUE(
      Patch("widgets", kName, PatchKind::kMerge, {{"status", {{"phase", "Done"}}}}, "status").ok());
  EXPECT_EQ(Owned("gitops"), before);
  const Json now = Get("widgets", kName);
  ASSERT_TRUE(Update("widgets", now, "status").ok());
  EXPECT_EQ(Get("widgets", kName), now);
}

// Of what nobody owns nothing is taken, and so nothing is written.
TEST_F(StatusMetadataTest, NothingToTakeIsNoWrite) {
  PutStatus(Json::object());
  const Json now = Get("widgets", kName);
  PutStatus(Json::object());
  EXPECT_EQ(Get("widgets", kName), now);
}

}  // namespace
}  // namespace envicutor::standalone

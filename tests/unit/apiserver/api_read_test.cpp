// list: pages, snapshots, selectors, versions.
#include "tests/unit/apiserver/fixture.h"

namespace envicutor::standalone {
namespace {

using testing::ElementsAre;

class ApiReadTest : public ApiTest {
 protected:
  ApiResult<ListAnswer> List(const ListQuery& query) {
    return api_->List(*Resource("configmaps"), "default", query);
  }
};

TEST_F(ApiReadTest, PagesShowOneSnapshotWhileTheWorldChanges) {
  for (const char* name : {"a", "b", "c", "d", "e"}) MustCreate("configmaps", ConfigMap(name));
  ListQuery query;
  query.limit = 2;
  const auto first = List(query);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->objects.size(), 2U);
  EXPECT_EQ(first->remaining, 3);
  ASSERT_TRUE(Delete("configmaps", "c").ok());
  MustCreate("configmaps", ConfigMap("bb"));
  ASSERT_TRUE(Patch("configmaps", "d", PatchKind::kMerge, {{"data", {{"new", "x"}}}}).ok());
  query.continue_token = first->continue_token;
  const auto second = List(query);
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_EQ(second->revision, first->revision);
  ASSERT_EQ(second->objects.size(), 2U);
  EXPECT_EQ(second->objects[0]->Name(), "c");
  EXPECT_EQ(second->objects[1]->Name(), "d");
  EXPECT_FALSE(second->objects[1]->Tree().Copy()["data"].contains("new"));
  query.continue_token = second->continue_token;
  const auto third = List(query);
  ASSERT_TRUE(third.ok());
  EXPECT_EQ(third->objects.size(), 1U);
  EXPECT_EQ(third->continue_token, "");
}

TEST_F(ApiReadTest, ATokenPastTheHistoryIsGoneAndAForgedOneBad) {
  history_ = 3;
  Restart();
  MustCreate("configmaps", ConfigMap("a"));
  MustCreate("configmaps", ConfigMap("b"));
  ListQuery query;
  query.limit = 1;
  query.continue_token = List(query)->continue_token;
  for (int i = 0; i < 5; ++i) MustCreate("configmaps", ConfigMap("x" + std::to_string(i)));
  const auto gone = List(query);
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().code, 410);
  EXPECT_EQ(gone.error().reason, "Expired");
  query.continue_token = "bm9uc2Vuc2U=";
  EXPECT_EQ(List(query).error().code, 400);
}

TEST_F(ApiReadTest, ResourceVersionMatch) {
  MustCreate("configmaps", ConfigMap("a"));
  const uint64_t then = store_->PublishedRevision();
  MustCreate("configmaps", ConfigMap("b"));
  ListQuery query;
  query.resource_version = std::to_string(then);
  EXPECT_EQ(List(query)->objects.size(), 2U);
  query.resource_version_match = "Exact";
  EXPECT_EQ(List(query)->objects.size(), 1U);
  query.resource_version = "999999";
  EXPECT_EQ(List(query).error().code, 504);
  query.resource_version = "nonsense";
  EXPECT_EQ(List(query).error().code, 400);
}

TEST_F(ApiReadTest, SelectorsAndNamespaces) {
  Json labelled = ConfigMap("a");
  labelled["metadata"]["labels"] = {{"app", "x"}};
  MustCreate("configmaps", labelled);
  MustCreate("configmaps", ConfigMap("b"));
  Json other = ConfigMap("a");
  other["metadata"]["namespace"] = "envicutor-system";
  MustCreate("configmaps", other);
  ListQuery query;
  query.label_selector = "app=x";
  EXPECT_THAT(Names("configmaps", query), ElementsAre("a"));
  query = {};
  query.field_selector = "metadata.name=a";
  EXPECT_THAT(Names("configmaps", query), ElementsAre("a", "a"));
  query.field_selector = "metadata.namespace=default,metadata.name!=b";
  EXPECT_THAT(Names("configmaps", query), ElementsAre("a"));
  query.field_selector = "metadata.namespace!=envicutor-system,metadata.namespace!=default";
  EXPECT_THAT(Names("configmaps", query), ElementsAre());
  EXPECT_THAT(Names("configmaps", {}, "default"), ElementsAre("a", "b"));
}

TEST_F(ApiReadTest, SelectableFieldsOfCrds) {
  MustCreate("customresourcedefinitions", WidgetCrd());
  MustCreate("widgets", Widget("red"));
  Json blue = Widget("blue");
  blue["spec"]["color"] = "blue";
  MustCreate("widgets", blue);
  ListQuery query;
  query.field_selector = "spec.color=blue";
  EXPECT_THAT(Names("widgets", query), ElementsAre("blue"));
  query.field_selector = "spec.size=1";
  EXPECT_EQ(api_->List(*Resource("widgets"), "", query).error().code, 400);
}

}  // namespace
}  // namespace envicutor::standalone

// ResourceQuotas: object counts, enforced on create; what they have used, kept by the controllers.
#include <atomic>
#include <thread>
#include <vector>

#include "tests/unit/apiserver/fixture.h"

namespace envicutor::standalone {
namespace {

using testing::HasSubstr;

class QuotaTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    MustCreate("customresourcedefinitions", WidgetCrd());
  }
  static Json Quota(const std::string& entry, const std::string& value) {
    return {{"metadata", {{"name", "q"}}}, {"spec", {{"hard", {{entry, value}}}}}};
  }
};

TEST_F(QuotaTest, ACreateBeyondItIsForbiddenInKubernetesWords) {
  MustCreate("resourcequotas", Quota("count/widgets.example.com", "1"));
  MustCreate("widgets", Widget("a"));
  const auto beyond = Create("widgets", Widget("b"));
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code, 403);
  EXPECT_EQ(beyond.error().reason, "Forbidden");
  EXPECT_EQ(beyond.error().message,
            "widgets.example.com \"b\" is forbidden: exceeded quota: q, requested: "
            "count/widgets.example.com=1, used: count/widgets.example.com=1, limited: "
            "count/widgets.example.com=1");
  // Other kinds, other namespaces and what is there already go on.
  MustCreate("configmaps", ConfigMap("c"));
  Json elsewhere = Widget("b");
  elsewhere["metadata"]["namespace"] = "envicutor-system";
  MustCreate("widgets", elsewhere);
  EXPECT_TRUE(Patch("widgets", "a", PatchKind::kMerge, {{"spec", {{"size", 2}}}}).ok());
  EXPECT_EQ(Create("widgets", Widget("a")).error().code, 409);
}

TEST_F(QuotaTest, ADeletionMakesRoomAndUsedFollows) {
  MustCreate("resourcequotas", Quota("count/widgets.example.com", "1"));
  MustCreate("widgets", Widget("a"));
  Settle();
  const Json wanted = {{"hard", {{"count/widgets.example.com", "1"}}},
                       {"used", {{"count/widgets.example.com", "1"}}}};
  EXPECT_EQ(Get("resourcequotas", "q")["status"], wanted);
  ASSERT_TRUE(Delete("widgets", "a").ok());
  MustCreate("widgets", Widget("b"));
  ASSERT_TRUE(Delete("widgets", "b").ok());
  Settle();
  EXPECT_EQ(Get("resourcequotas", "q")["status"]["used"]["count/widgets.example.com"], "0");
}

TEST_F(QuotaTest, CreatesAtOnceDoNotSlipThrough) {
  MustCreate("resourcequotas", Quota("count/widgets.example.com", "5"));
  std::atomic<int> made = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        made += Create("widgets", Widget("w" + std::to_string(t * 10 + i))).ok() ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 5);
  EXPECT_EQ(Names("widgets").size(), 5U);
}

TEST_F(QuotaTest, MistakesAreRefusedAndWhatIsNotCountedIsSaid) {
  const auto negative = Create("resourcequotas", Quota("count/widgets.example.com", "-1"));
  ASSERT_FALSE(negative.ok());
  EXPECT_EQ(negative.error().message,
            "ResourceQuota \"q\" is invalid: spec.hard[count/widgets.example.com]: Invalid value: "
            "\"-1\": must be greater than or equal to 0");
  EXPECT_EQ(Create("resourcequotas", Quota("pods", "x")).error().code, 422);
  const auto cpu = Create("resourcequotas", Quota("requests.cpu", "4"));
  ASSERT_TRUE(cpu.ok());
  ASSERT_EQ(cpu->warnings.size(), 1U);
  EXPECT_THAT(cpu->warnings[0], HasSubstr("spec.hard[requests.cpu] is not enforced"));
}

}  // namespace
}  // namespace envicutor::standalone

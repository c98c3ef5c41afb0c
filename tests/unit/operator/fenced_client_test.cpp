#include "operator/fenced_client.h"

#include <gtest/gtest.h>

#include "tests/unit/operator/fakes.h"
#include "tests/unit/operator/submissions.h"

namespace envicutor::op {
namespace {

TEST(FencedClient, WritesOnlyWhileTheLeaseIsHeld) {
  testing::FakeClient store;
  bool held = true;
  const auto client = NewFencedClient(store, [&held] { return held; });
  const Json submission = testing::Submission("a", Json::object());
  EXPECT_TRUE(client->Create(kube::kSubmissions, "default", submission).ok());
  held = false;
  const Json patch = {{"status", {{"phase", "Completed"}}}};
  EXPECT_EQ(client->Create(kube::kSubmissions, "default", submission).status().code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(
      client->Patch(kube::kSubmissions, "default", "a", kube::PatchType::kMerge, patch, "status")
          .status()
          .code(),
      Code::kFailedPrecondition);
  EXPECT_EQ(client->Update(kube::kSubmissions, submission).status().code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(client->CreateForVersion(kube::kSubmissions, "default", submission).status().code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(client->UpdateForVersion(kube::kSubmissions, submission, "status").status().code(),
            Code::kFailedPrecondition);
  EXPECT_EQ(client->Delete(kube::kSubmissions, "default", "a").code(), Code::kFailedPrecondition);
  EXPECT_TRUE(client->Get(kube::kSubmissions, "default", "a").ok());
  EXPECT_EQ(client->ListAll(kube::kSubmissions, "", {})->items.size(), 1U);
  EXPECT_EQ(store.requests["patch"] + store.requests["update"] + store.requests["delete"], 0);
  EXPECT_EQ(store.requests["create"], 1);
}

}  // namespace
}  // namespace envicutor::op

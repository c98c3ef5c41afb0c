#include "executor-agent/store/environment_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "common/base/file.h"
#include "executor-agent/store/install.h"
#include "executor-agent/store/store_layout.h"
#include "executor-agent/store/store_lock.h"

namespace envicutor::agent {
namespace {

constexpr char kHash[] = "0123456789abcdef0123456789abcdef";
const std::string kBash = "/nix/store/11wz730xcah4kx0pj7smyd7z8pdx85k1-bash-5.2";
const std::string kEnvironment = "/nix/store/8nsd5xf92s1b2dyi44nzig65ay0s37zg-environment";

class EnvironmentStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/store-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  static api::BuiltEnvironment Built() {
    api::BuiltEnvironment built;
    built.hash = kHash;
    built.store_path = kEnvironment;
    built.shell = kBash + "/bin/bash";
    built.env_binary = "";
    built.variables = {{"PATH", kBash + "/bin"}};
    built.closure = {kBash, kEnvironment};
    built.closure_size_bytes = 10;
    return built;
  }
  void Write(const api::BuiltEnvironment& built, const std::string& hash = kHash) {
    const StoreLayout layout(root_);
    std::filesystem::create_directories(layout.ViewDir(hash));
    std::filesystem::create_directories(layout.EnvironmentDir(hash));
    ASSERT_TRUE(
        WriteFileAtomic(layout.EnvironmentFile(hash), DumpJson(BuiltEnvironmentToJson(built)))
            .ok());
  }

  std::string root_;
};

TEST_F(EnvironmentStoreTest, GivesWhatTheBuilderWrote) {
  Write(Built());
  const auto store = NewEnvironmentStore(root_);
  const auto found = store->Get(kHash);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ((*found)->box.view_dir, root_ + "/views/" + kHash);
  EXPECT_EQ((*found)->box.shell, kBash + "/bin/bash");
  EXPECT_EQ((*found)->built.variables.at("PATH"), kBash + "/bin");
  // From memory the second time: the same object.
  EXPECT_EQ(store->Get(kHash)->get(), found->get());
}

TEST_F(EnvironmentStoreTest, SaysNotFoundWhenItIsNotThereAndSeesItComeAndGo) {
  const auto store = NewEnvironmentStore(root_);
  EXPECT_EQ(store->Get(kHash).status().code(), Code::kNotFound);
  Write(Built());
  EXPECT_TRUE(store->Get(kHash).ok());
  std::filesystem::remove_all(StoreLayout(root_).EnvironmentDir(kHash));
  EXPECT_EQ(store->Get(kHash).status().code(), Code::kNotFound);
  api::BuiltEnvironment again = Built();
  again.variables["NEW"] = "1";
  Write(again);
  EXPECT_EQ((*store->Get(kHash))->built.variables.count("NEW"), 1U);
}

TEST_F(EnvironmentStoreTest, RefusesNamesThatAreNoHashes) {
  const auto store = NewEnvironmentStore(root_);
  for (const std::string& hash :
       {std::string(), std::string("../../etc"), std::string(32, 'A'), std::string(31, 'a'),
        std::string(33, 'a'), std::string(32, '/')}) {
    EXPECT_EQ(store->Get(hash).status().code(), Code::kInvalidArgument) << hash;
  }
}

TEST_F(EnvironmentStoreTest, RefusesHostileContent) {
  const std::pair<const char*, std::function<void(api::BuiltEnvironment*)>> cases[] = {
      {"another hash", [](auto* e) { e->hash = std::string(32, 'f'); }},
      {"a shell of the host", [](auto* e) { e->shell = "/bin/sh"; }},
      {"a shell that leaves the store", [](auto* e) { e->shell = kBash + "/../../../bin/sh"; }},
      {"a shell outside the closure",
       [](auto* e) { e->shell = "/nix/store/00000000000000000000000000000000-x/bin/sh"; }},
      {"no shell", [](auto* e) { e->shell = ""; }},
      {"a shell that is a store path", [](auto* e) { e->shell = kBash; }},
      {"an env of the host", [](auto* e) { e->env_binary = "/usr/bin/env"; }},
      {"a closure path with parts", [](auto* e) { e->closure.push_back(kBash + "/bin"); }},
      {"a closure path elsewhere", [](auto* e) { e->closure.push_back("/etc/passwd"); }},
      {"a closure path of dots",
       [](auto* e) { e->closure.push_back("/nix/store/00000000000000000000000000000000-.."); }},
      {"a store path not in the closure", [](auto* e) { e->closure = {kBash}; }},
      {"a negative size", [](auto* e) { e->closure_size_bytes = -1; }},
      {"a variable's name", [](auto* e) { e->variables["A B"] = "x"; }},
      {"an empty name", [](auto* e) { e->variables[""] = "x"; }},
      {"a NUL", [](auto* e) { e->variables["A"] = std::string("a\0b", 3); }},
      {"a long variable", [](auto* e) { e->variables["A"] = std::string(200'000, 'x'); }},
      {"many variables",
       [](auto* e) {
         for (int i = 0; i < 10; ++i)
           e->variables["A" + std::to_string(i)] = std::string(120'000, 'x');
       }},
  };
  for (const auto& [what, change] : cases) {
    api::BuiltEnvironment built = Built();
    change(&built);
    Write(built);
    const auto found = NewEnvironmentStore(root_)->Get(kHash);
    ASSERT_FALSE(found.ok()) << what;
    EXPECT_EQ(found.status().code(), Code::kFailedPrecondition) << what;
  }
}

TEST_F(EnvironmentStoreTest, RefusesAViewThatIsNoFolder) {
  Write(Built());
  const std::string view = StoreLayout(root_).ViewDir(kHash);
  std::filesystem::remove(view);
  EXPECT_EQ(NewEnvironmentStore(root_)->Get(kHash).status().code(), Code::kFailedPrecondition);
  std::filesystem::create_directory_symlink("/", view);
  EXPECT_EQ(NewEnvironmentStore(root_)->Get(kHash).status().code(), Code::kFailedPrecondition);
}

TEST_F(EnvironmentStoreTest, WhatIsHeldIsNotRemoved) {
  Write(Built());
  const StoreLayout layout(root_);
  const auto store = NewEnvironmentStore(root_);
  auto held = store->Get(kHash);
  ASSERT_TRUE(held.ok());
  // By whatever process: it is a lock on the store, not in this object.
  EXPECT_EQ(UninstallEnvironment(layout, kHash).code(), Code::kUnavailable);
  EXPECT_TRUE(NewEnvironmentStore(root_)->Get(kHash).ok());
  held = NotFound("released");
  EXPECT_TRUE(UninstallEnvironment(layout, kHash).ok());
  EXPECT_EQ(store->Get(kHash).status().code(), Code::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(layout.ViewDir(kHash)));
  EXPECT_TRUE(UninstallEnvironment(layout, kHash).ok()) << "once more is no mistake";
  EXPECT_EQ(UninstallEnvironment(layout, "../x").code(), Code::kInvalidArgument);
}

TEST_F(EnvironmentStoreTest, LocksOfAStore) {
  const StoreLayout layout(root_);
  const std::chrono::milliseconds none{0};
  {
    const auto fetch = LockStore(layout, StoreUse::kFetch, none);
    ASSERT_TRUE(fetch.ok());
    EXPECT_TRUE(LockStore(layout, StoreUse::kFetch, none).ok()) << "fetches go on side by side";
    EXPECT_TRUE(LockStore(layout, StoreUse::kBuild, none).ok()) << "and beside a build";
    EXPECT_EQ(LockForCollection(layout).status().code(), Code::kUnavailable);
  }
  const auto collection = LockForCollection(layout);
  ASSERT_TRUE(collection.ok());
  EXPECT_EQ(LockStore(layout, StoreUse::kFetch, none).status().code(), Code::kUnavailable);
  EXPECT_EQ(LockStore(layout, StoreUse::kBuild, none).status().code(), Code::kUnavailable);
}

class FakeSource final : public EnvironmentSource {
 public:
  std::function<Status(const std::string&)> fetch;
  int calls = 0;
  Status Fetch(const std::string& hash, const std::string&, std::stop_token) override {
    ++calls;
    return fetch(hash);
  }
};

TEST_F(EnvironmentStoreTest, AsksItsSourceForWhatIsNotThere) {
  FakeSource source;
  source.fetch = [](const std::string&) { return Unavailable("the cache is down"); };
  const auto store = NewEnvironmentStore(root_, &source);
  EXPECT_EQ(store->Get(kHash, kEnvironment, {}).status().code(), Code::kUnavailable);
  source.fetch = [this](const std::string&) {
    Write(Built());
    return OkStatus();
  };
  EXPECT_TRUE(store->Get(kHash, kEnvironment, {}).ok());
  EXPECT_TRUE(store->Get(kHash, kEnvironment, {}).ok());
  EXPECT_EQ(source.calls, 2);
}

}  // namespace
}  // namespace envicutor::agent

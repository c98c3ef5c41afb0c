#include "executor-agent/store/collector.h"

#include <gtest/gtest.h>

namespace envicutor::agent {
namespace {

using Hashes = std::vector<std::string>;

StoredEnvironment Stored(const std::string& hash, int64_t size, int64_t used, bool live,
                         bool in_use = false) {
  return {hash, size, used, live, in_use};
}

TEST(ChooseEvictions, NothingGoesWhileThereIsRoom) {
  EXPECT_EQ(ChooseEvictions({Stored("a", 10, 1, false)}, 0, true), Hashes{});
  EXPECT_EQ(ChooseEvictions({Stored("a", 10, 1, false)}, -5, true), Hashes{});
  EXPECT_EQ(ChooseEvictions({}, 100, true), Hashes{});
}

TEST(ChooseEvictions, LeastRecentlyUsedFirstAndOnlyAsManyAsNeeded) {
  const std::vector<StoredEnvironment> stored = {
      Stored("new", 10, 3, false), Stored("old", 10, 1, false), Stored("middle", 10, 2, false)};
  EXPECT_EQ(ChooseEvictions(stored, 1, true), Hashes{"old"});
  EXPECT_EQ(ChooseEvictions(stored, 11, true), (Hashes{"old", "middle"}));
  EXPECT_EQ(ChooseEvictions(stored, 1000, true), (Hashes{"old", "middle", "new"}));
}

TEST(ChooseEvictions, WhatIsLiveGoesLastAndOnlyIfItCanComeBack) {
  const std::vector<StoredEnvironment> stored = {Stored("live", 10, 1, true),
                                                 Stored("idle", 10, 9, false)};
  EXPECT_EQ(ChooseEvictions(stored, 5, true), Hashes{"idle"});
  EXPECT_EQ(ChooseEvictions(stored, 15, true), (Hashes{"idle", "live"}));
  EXPECT_EQ(ChooseEvictions(stored, 15, false), Hashes{"idle"});
}

TEST(ChooseEvictions, WhatIsInUseStaysAndTheNextOneGoes) {
  const std::vector<StoredEnvironment> stored = {Stored("busy", 100, 1, false, true),
                                                 Stored("idle", 10, 2, false)};
  EXPECT_EQ(ChooseEvictions(stored, 5, true), Hashes{"idle"});
}

}  // namespace
}  // namespace envicutor::agent

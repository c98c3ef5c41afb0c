#include "executor-agent/journal/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <future>
#include <set>
#include <thread>

#include "common/base/file.h"
#include "executor-agent/journal/format.h"
#include "tests/unit/agent/fake_sandbox.h"
#include "tests/unit/agent/held_compaction.h"

namespace envicutor::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::string ResultJson(const std::string& uid, int64_t attempt, const std::string& message = "m") {
  api::RunResult result;
  result.uid = uid;
  result.attempt = attempt;
  result.verdict = api::Verdict::kAccepted;
  result.message = message;
  return DumpJson(api::RunResultToJson(result));
}

class JournalTest : public ::testing::Test {
 protected:
  std::unique_ptr<Journal> Open() {
    Result<std::unique_ptr<Journal>> journal = Journal::Open(options_);
    EXPECT_TRUE(journal.ok()) << journal.status().ToString();
    return journal.ok() ? *std::move(journal) : nullptr;
  }
  [[nodiscard]] std::string Bytes() const { return *ReadFile(dir_.path() + "/journal"); }
  void SetBytes(std::string_view bytes) const {
    std::ofstream(dir_.path() + "/journal", std::ios::binary | std::ios::trunc) << bytes;
  }
  static std::vector<std::string> Uids(const JournalRecovery& recovery) {
    std::vector<std::string> uids;
    for (const api::RunResult& result : recovery.results) uids.push_back(result.uid);
    return uids;
  }

  // A compaction is due as long as there is more than it leaves; it needs no further record.
  void AwaitCompacted(const Journal& journal) const {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    for (;;) {
      const Result<journal::State> state = journal::ReadState(Bytes());
      ASSERT_TRUE(state.ok());
      size_t live = 0;
      for (const auto& [uid, run] : state->runs) live += run.record_bytes;
      if (journal.file_bytes() <= std::max(options_.compact_bytes, 2 * live)) return;
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "is not compacted";
      std::this_thread::yield();
    }
  }

  static constexpr std::chrono::seconds kPatience{20};
  TempDir dir_;
  JournalOptions options_{.dir = dir_.path()};
};

TEST_F(JournalTest, ResultsComeBackAndUnfinishedRunsAreLost) {
  {
    const auto journal = Open();
    EXPECT_THAT(journal->recovery().results, IsEmpty());
    ASSERT_TRUE(journal->RecordAccepted({"b", 1}).ok());
    ASSERT_TRUE(journal->RecordAccepted({"a", 2}).ok());
    ASSERT_TRUE(journal->RecordAccepted({"lost", 3}).ok());
    ASSERT_TRUE(journal->RecordAccepted({"acked", 1}).ok());
    ASSERT_TRUE(journal->RecordResult({"b", 1}, ResultJson("b", 1, "hello")).ok());
    ASSERT_TRUE(journal->RecordResult({"acked", 1}, ResultJson("acked", 1)).ok());
    ASSERT_TRUE(journal->RecordResult({"a", 2}, ResultJson("a", 2)).ok());
    ASSERT_TRUE(journal->RecordForgotten({{"acked", 1}, {"unknown", 9}}).ok());
    ASSERT_TRUE(journal->Sync().ok());
  }
  {
    const auto journal = Open();
    EXPECT_THAT(Uids(journal->recovery()), ElementsAre("b", "a"));  // in the order they ended
    EXPECT_EQ(journal->recovery().results[0].message, "hello");
    EXPECT_EQ(journal->recovery().results[0].verdict, api::Verdict::kAccepted);
    EXPECT_THAT(journal->recovery().lost, ElementsAre(RunKey{"lost", 3}));
    EXPECT_EQ(journal->recovery().torn_bytes, 0U);
  }
  // A lost run is told once; results stay until they are acknowledged.
  const auto journal = Open();
  EXPECT_THAT(journal->recovery().lost, IsEmpty());
  EXPECT_THAT(Uids(journal->recovery()), ElementsAre("b", "a"));
}

TEST_F(JournalTest, WrittenRecordsNeedNoCleanEnd) {
  const auto journal = Open();
  ASSERT_TRUE(journal->RecordResult({"a", 1}, ResultJson("a", 1)).ok());
  // As after kill -9: the file is all there is.
  const Result<journal::State> state = journal::ReadState(Bytes());
  ASSERT_TRUE(state.ok());
  EXPECT_TRUE(state->runs.at("a").has_result);
}

TEST_F(JournalTest, AHigherAttemptTakesTheLowerOnesPlace) {
  {
    const auto journal = Open();
    ASSERT_TRUE(journal->RecordAccepted({"a", 1}).ok());
    ASSERT_TRUE(journal->RecordAccepted({"a", 2}).ok());
    ASSERT_TRUE(journal->RecordResult({"a", 1}, ResultJson("a", 1)).ok());  // too late
    ASSERT_TRUE(journal->RecordForgotten({{"a", 1}}).ok());                 // not attempt 2
  }
  const auto journal = Open();
  EXPECT_THAT(journal->recovery().results, IsEmpty());
  EXPECT_THAT(journal->recovery().lost, ElementsAre(RunKey{"a", 2}));
}

TEST_F(JournalTest, OneProcessAtATime) {
  const auto journal = Open();
  const auto second = Journal::Open(options_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), Code::kFailedPrecondition);
}

// The torture: whatever byte the file ends at, what was complete before is there, and the journal
// works on.
TEST_F(JournalTest, SurvivesACutAtEveryByte) {
  {
    const auto journal = Open();
    ASSERT_TRUE(journal->RecordAccepted({"a", 1}).ok());
    ASSERT_TRUE(journal->RecordResult({"a", 1}, ResultJson("a", 1)).ok());
    ASSERT_TRUE(journal->RecordAccepted({"b", 1}).ok());
    ASSERT_TRUE(journal->RecordForgotten({{"a", 1}}).ok());
    ASSERT_TRUE(journal->RecordResult({"b", 1}, ResultJson("b", 1)).ok());
  }
  const std::string whole = Bytes();
  // How many records are complete at each length, by the format's own lengths.
  std::vector<size_t> ends = {journal::kMagic.size()};
  while (ends.back() < whole.size()) {
    const auto length = static_cast<unsigned char>(whole[ends.back()]) +
                        (static_cast<unsigned char>(whole[ends.back() + 1]) << 8U);
    ends.push_back(ends.back() + journal::kRecordHeaderBytes + static_cast<size_t>(length));
  }
  ASSERT_EQ(ends.size(), 6U);
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    const Result<journal::State> state = journal::ReadState(std::string_view(whole).substr(0, cut));
    ASSERT_TRUE(state.ok()) << cut;
    size_t complete = 0;
    while (complete + 1 < ends.size() && ends[complete + 1] <= cut) ++complete;
    EXPECT_EQ(state->records, complete) << cut;
    EXPECT_EQ(state->runs.contains("a"), complete >= 1 && complete < 4) << cut;
    EXPECT_EQ(state->runs.contains("b"), complete >= 3) << cut;
    // Opening costs an fsync: at the edges of records, and here and there inside.
    const bool edge = std::any_of(ends.begin(), ends.end(), [cut](size_t end) {
      return cut + 1 == end || cut == end || cut == end + 1;
    });
    if (!edge && cut % 37 != 0) continue;
    SetBytes(whole.substr(0, cut));
    const auto journal = Open();
    ASSERT_NE(journal, nullptr) << cut;
    EXPECT_EQ(journal->recovery().torn_bytes, cut - (cut < ends[0] ? 0 : ends[complete])) << cut;
    ASSERT_TRUE(journal->RecordResult({"new", 1}, ResultJson("new", 1)).ok());
    EXPECT_TRUE(journal::ReadState(Bytes())->runs.contains("new")) << cut;
  }
}

TEST_F(JournalTest, AFlippedBitHidesOnlyWhatFollows) {
  {
    const auto journal = Open();
    ASSERT_TRUE(journal->RecordResult({"a", 1}, ResultJson("a", 1)).ok());
  }
  const size_t first = Bytes().size();
  {
    const auto journal = Open();
    ASSERT_TRUE(journal->RecordResult({"b", 1}, ResultJson("b", 1)).ok());
  }
  const std::string whole = Bytes();
  for (size_t at = journal::kMagic.size(); at < whole.size(); ++at) {
    std::string broken = whole;
    broken[at] = static_cast<char>(broken[at] ^ 0x10);
    const Result<journal::State> state = journal::ReadState(broken);
    ASSERT_TRUE(state.ok()) << at;
    EXPECT_EQ(state->runs.contains("a"), at >= first) << at;
    EXPECT_FALSE(state->runs.contains("b")) << at;
  }
}

TEST_F(JournalTest, AnotherVersionIsNotOverwritten) {
  SetBytes("ENVJRNL2 something of the future");
  const auto journal = Journal::Open(options_);
  ASSERT_FALSE(journal.ok());
  EXPECT_EQ(journal.status().code(), Code::kFailedPrecondition);
  EXPECT_EQ(Bytes(), "ENVJRNL2 something of the future");
  SetBytes("#!/bin/sh");
  EXPECT_EQ(Journal::Open(options_).status().code(), Code::kInvalidArgument);
}

TEST_F(JournalTest, StaysBoundedOverManyRuns) {
  options_.compact_bytes = 4096;
  const auto journal = Open();
  ASSERT_TRUE(journal->RecordResult({"kept", 1}, ResultJson("kept", 1)).ok());
  for (int i = 0; i < 2000; ++i) {
    const std::string uid = "run-" + std::to_string(i);
    ASSERT_TRUE(journal->RecordAccepted({uid, 1}).ok());
    ASSERT_TRUE(journal->RecordResult({uid, 1}, ResultJson(uid, 1)).ok());
    ASSERT_TRUE(journal->RecordForgotten({{uid, 1}}).ok());
    if (i % 250 == 249) AwaitCompacted(*journal);
  }
  EXPECT_EQ(Bytes().size(), journal->file_bytes());
  const Result<journal::State> state = journal::ReadState(Bytes());
  EXPECT_TRUE(state->runs.at("kept").has_result);
  EXPECT_THAT(state->runs, ::testing::SizeIs(1));
}

// Four slots at once while the file is written anew again and again: whatever the moment, nothing
// is lost and nothing comes back.
// Read back after every record: a later compaction would heal from memory what one has lost.
TEST_F(JournalTest, NoRecordIsAwayForAMoment) {
  constexpr int kOwed = 20;
  constexpr int kMost = 20'000;
  options_.compact_bytes = 16'384;
  const auto journal = Open();
  const auto uid = [](int run) { return "run-" + std::to_string(run); };
  int compactions = 0;
  size_t before = 0;
  for (int i = 0; i < kMost && compactions < 12; ++i) {
    ASSERT_TRUE(journal->RecordAccepted({uid(i), 1}).ok());
    ASSERT_TRUE(journal->RecordResult({uid(i), 1}, ResultJson(uid(i), 1)).ok());
    const Result<journal::State> state = journal::ReadState(Bytes());
    ASSERT_TRUE(state.ok());
    for (int run = std::max(0, i - kOwed + 1); run <= i; ++run) {
      const auto found = state->runs.find(uid(run));
      ASSERT_TRUE(found != state->runs.end() && found->second.has_result) << run << " at " << i;
    }
    if (i >= kOwed) {
      ASSERT_TRUE(journal->RecordForgotten({{uid(i - kOwed), 1}}).ok());
    }
    if (journal->file_bytes() < before) ++compactions;
    before = journal->file_bytes();
  }
  EXPECT_EQ(compactions, 12);
}

TEST_F(JournalTest, WhatIsWrittenDuringACompactionStays) {
  constexpr int kWriters = 4;
  constexpr int kRounds = 400;
  options_.compact_bytes = 4096;
  std::set<std::string> owed;
  std::set<std::string> running;
  {
    const auto journal = Open();
    std::vector<std::jthread> writers;
    for (int writer = 0; writer < kWriters; ++writer) {
      writers.emplace_back([&, writer] {
        for (int i = 0; i < kRounds; ++i) {
          const std::string uid = std::to_string(writer) + "-" + std::to_string(i);
          EXPECT_TRUE(journal->RecordAccepted({uid, 1}).ok());
          if (i % 10 == 1) continue;
          const int64_t attempt = i % 10 == 2 ? 2 : 1;
          if (attempt == 2) {
            EXPECT_TRUE(journal->RecordAccepted({uid, 2}).ok());
          }
          EXPECT_TRUE(journal->RecordResult({uid, attempt}, ResultJson(uid, attempt)).ok());
          if (i % 10 > 2) {
            EXPECT_TRUE(journal->RecordForgotten({{uid, attempt}}).ok());
          }
          if (i % 100 == 99) {
            EXPECT_TRUE(journal->Sync().ok());
          }
        }
      });
      for (int i = 0; i < kRounds; ++i) {
        const std::string uid = std::to_string(writer) + "-" + std::to_string(i);
        if (i % 10 == 0 || i % 10 == 2) owed.insert(uid);
        if (i % 10 == 1) running.insert(uid);
      }
    }
    writers.clear();
    AwaitCompacted(*journal);
    EXPECT_EQ(Bytes().size(), journal->file_bytes());
  }
  const auto journal = Open();
  std::set<std::string> found;
  for (const api::RunResult& result : journal->recovery().results) {
    found.insert(result.uid);
    EXPECT_EQ(result.attempt, result.uid.ends_with('2') ? 2 : 1);
  }
  EXPECT_EQ(found, owed);
  std::set<std::string> lost;
  for (const RunKey& key : journal->recovery().lost) lost.insert(key.uid);
  EXPECT_EQ(lost, running);
  EXPECT_EQ(journal->recovery().torn_bytes, 0U);
}

class JournalCompactionTest : public JournalTest {
 protected:
  static constexpr size_t kResultBytes = 10'000;  // a message that is read back
  static constexpr int kResults = 60;
  JournalCompactionTest() { options_.compact_bytes = 4096; }
  // Leaves a fifth of it live, more than a pipe takes.
  void MakeCompactionDue(Journal* journal) {
    for (int i = 0; i < kResults; ++i) {
      const std::string uid = "old-" + std::to_string(i);
      ASSERT_TRUE(
          journal->RecordResult({uid, 1}, ResultJson(uid, 1, std::string(kResultBytes, 'x'))).ok());
    }
    std::vector<RunKey> gone;
    for (int i = kResults / 5; i < kResults; ++i) gone.push_back({"old-" + std::to_string(i), 1});
    ASSERT_TRUE(journal->RecordForgotten(gone).ok());
  }
};

TEST_F(JournalCompactionTest, NobodyWaitsForItAndAFailedOneLosesNothing) {
  const auto journal = Open();
  HeldCompaction compaction(dir_.path());
  MakeCompactionDue(journal.get());
  compaction.AwaitBegin();
  auto records = std::async(std::launch::async, [&] {
    EXPECT_TRUE(journal->RecordAccepted({"new", 1}).ok());
    EXPECT_TRUE(journal->RecordAccepted({"running", 1}).ok());
    EXPECT_TRUE(journal->RecordResult({"new", 1}, ResultJson("new", 1)).ok());
    EXPECT_TRUE(journal->RecordForgotten({{"old-0", 1}}).ok());
    return journal->file_bytes();
  });
  EXPECT_EQ(records.wait_for(kPatience), std::future_status::ready) << "waits for the compaction";
  const Result<journal::State> meanwhile = journal::ReadState(Bytes());  // as after kill -9
  ASSERT_TRUE(meanwhile.ok());
  EXPECT_TRUE(meanwhile->runs.contains("running"));
  EXPECT_TRUE(meanwhile->runs.at("new").has_result);
  EXPECT_FALSE(meanwhile->runs.contains("old-0"));
  EXPECT_TRUE(meanwhile->runs.at("old-1").has_result);

  compaction.Release();
  records.wait();
  EXPECT_TRUE(journal->Sync().ok());
  ASSERT_TRUE(journal->RecordAccepted({"after", 1}).ok());
  const Result<journal::State> state = journal::ReadState(Bytes());
  ASSERT_TRUE(state.ok());
  EXPECT_TRUE(state->runs.contains("after"));
  EXPECT_EQ(state->runs.size(), meanwhile->runs.size() + 1);
  EXPECT_EQ(state->valid_bytes, journal->file_bytes());
}

TEST_F(JournalCompactionTest, AFileThatCannotBeCompactedTakesNoMoreRuns) {
  options_.max_live_bytes = 16 * kResultBytes;
  options_.compact_retry = std::chrono::milliseconds(0);
  const std::string in_the_way = dir_.path() + "/journal.next";
  const auto journal = Open();
  ASSERT_EQ(::mkdir(in_the_way.c_str(), 0700), 0);
  Status refused;
  const size_t most = 4 * options_.max_live_bytes;
  while (refused.ok() && journal->file_bytes() < most) {
    refused = journal->RecordAccepted({"a", 1});
    if (!refused.ok()) break;
    ASSERT_TRUE(
        journal->RecordResult({"a", 1}, ResultJson("a", 1, std::string(kResultBytes, 'x'))).ok());
    ASSERT_TRUE(journal->RecordForgotten({{"a", 1}}).ok());
  }
  EXPECT_EQ(refused.code(), Code::kResourceExhausted) << refused.ToString();
  EXPECT_THAT(refused.message(), ::testing::HasSubstr("compacted"));
  // What was taken before may end.
  EXPECT_TRUE(journal->RecordResult({"b", 1}, ResultJson("b", 1)).ok());

  ASSERT_EQ(::rmdir(in_the_way.c_str()), 0);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!journal->RecordAccepted({"c", 1}).ok()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "is not compacted";
    std::this_thread::yield();
  }
  EXPECT_TRUE(journal::ReadState(Bytes())->runs.at("b").has_result);
}

// What the predecessor's death left of one takes no room and is no journal.
TEST_F(JournalCompactionTest, WhatAKilledOneLeftIsRemoved) {
  std::ofstream(dir_.path() + "/journal.next") << "half of it";
  const auto journal = Open();
  EXPECT_EQ(ReadFile(dir_.path() + "/journal.next").status().code(), Code::kNotFound);
}

TEST_F(JournalTest, RefusesRunsWhenTooMuchIsNotAcknowledged) {
  options_.max_live_bytes = 1000;
  const auto journal = Open();
  ASSERT_TRUE(journal->RecordAccepted({"a", 1}).ok());
  ASSERT_TRUE(journal->RecordResult({"a", 1}, ResultJson("a", 1, std::string(2000, 'x'))).ok());
  EXPECT_EQ(journal->RecordAccepted({"b", 1}).code(), Code::kResourceExhausted);
  ASSERT_TRUE(journal->RecordForgotten({{"a", 1}}).ok());
  EXPECT_TRUE(journal->RecordAccepted({"b", 1}).ok());
}

TEST(JournalFormat, CrcIsTheUsualOne) { EXPECT_EQ(journal::Crc32("123456789"), 0xCBF43926U); }

}  // namespace
}  // namespace envicutor::agent

#include "standalone/node/adoption.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "standalone/node/launcher.h"
#include "standalone/node/node_context.h"

namespace envicutor::standalone {
namespace {

class AdoptionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/envicutor-adopt-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
    pid_ = ::fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
      ::pause();
      ::_exit(0);
    }
  }
  void TearDown() override {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    std::filesystem::remove_all(dir_);
  }
  [[nodiscard]] ProcessRecord Record() const {
    ProcessRecord record;
    record.process = {pid_, StartTicks(pid_).value_or(0)};
    record.boot_id = BootId();
    record.container_id = "envicutor://1";
    return record;
  }
  [[nodiscard]] bool Lives() const { return StartTicks(pid_).has_value(); }

  std::string dir_;
  pid_t pid_ = 0;
};

TEST_F(AdoptionTest, ARecordIsReadAsItWasWritten) {
  ProcessRecord record = Record();
  record.machine = true;
  record.group = "/sys/fs/cgroup/x";
  ASSERT_TRUE(WriteProcessRecord(dir_, record).ok());
  const Result<ProcessRecord> read = ReadProcessRecord(dir_);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->process, record.process);
  EXPECT_EQ(read->boot_id, record.boot_id);
  EXPECT_EQ(read->container_id, record.container_id);
  EXPECT_TRUE(read->machine);
  EXPECT_EQ(read->group, record.group);
  RemoveProcessRecord(dir_);
  EXPECT_EQ(ReadProcessRecord(dir_).status().code(), Code::kNotFound);
}

TEST_F(AdoptionTest, EndsExactlyTheRecordedProcess) {
  ASSERT_TRUE(WriteProcessRecord(dir_, Record()).ok());
  EXPECT_TRUE(EndRecorded(dir_));
  EXPECT_FALSE(Lives());
  EXPECT_FALSE(EndRecorded(dir_));
}

TEST_F(AdoptionTest, ARecycledPidIsNotTheRecordedProcess) {
  ProcessRecord record = Record();
  record.process.start_ticks += 1;
  ASSERT_TRUE(WriteProcessRecord(dir_, record).ok());
  EXPECT_FALSE(EndRecorded(dir_));
  EXPECT_TRUE(Lives());
}

TEST_F(AdoptionTest, APidOfAnotherBootMeansNothing) {
  ProcessRecord record = Record();
  record.boot_id = "another";
  ASSERT_TRUE(WriteProcessRecord(dir_, record).ok());
  EXPECT_FALSE(EndRecorded(dir_));
  EXPECT_TRUE(Lives());
}

TEST_F(AdoptionTest, ABadRecordEndsNothing) {
  for (const char* text : {"", "{}", "[1]", R"({"pid": 1, "startTicks": 0})", R"({"pid": -1})"}) {
    std::ofstream(dir_ + "/process.json") << text;
    EXPECT_FALSE(EndRecorded(dir_)) << text;
  }
  EXPECT_TRUE(Lives());
}

TEST_F(AdoptionTest, ANodesFolderHasOneNodeAtATime) {
  Result<UniqueFd> first = LockNode(dir_);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(LockNode(dir_).status().code(), Code::kFailedPrecondition);
  first->reset();
  EXPECT_TRUE(LockNode(dir_).ok());
}

TEST_F(AdoptionTest, EventsAreReadUpToTheLastWholeOne) {
  const std::string path = EventsPath(dir_);
  EXPECT_TRUE(ReadEvents(path).empty());
  std::ofstream(path) << InitEventToLine({}) << "no event\n"
                      << InitEventToLine({.type = InitEvent::Type::kExited, .exit_code = 4})
                      << R"({"type": "exi)" << '\0';
  const std::vector<InitEvent> events = ReadEvents(path);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[1].exit_code, 4);
}

TEST(AddressPoolTest, AReservedAddressIsForTheOneThatHadIt) {
  AddressPool pool;
  pool.Reserve(2);
  EXPECT_EQ(pool.Take(), 3);
  EXPECT_EQ(pool.Take(2), 2);
  pool.Give(2);
  pool.Reserve(2);
  pool.ForgetReserved();
  EXPECT_EQ(pool.Take(), 2);
}

}  // namespace
}  // namespace envicutor::standalone

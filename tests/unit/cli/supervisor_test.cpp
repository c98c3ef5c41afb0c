#include "standalone/cli/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "common/base/file.h"
#include "standalone/cli/tool.h"

namespace envicutor::standalone {
namespace {

// Runs the supervisor on a thread of its own, as its children's parent.
class SupervisorTest : public ::testing::Test {
 protected:
  SupervisorTest() {
    std::string pattern = ::testing::TempDir() + "/envicutor-up-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
  }
  ~SupervisorTest() override { std::filesystem::remove_all(dir_); }

  void Start() {
    supervisor_ =
        std::make_unique<Supervisor>(clock_, [this](const std::vector<RunningChild>& now) {
          const std::lock_guard lock(mutex_);
          children_ = now;
          changed_.notify_all();
        });
    supervisor_->Prepare();
    thread_ = std::jthread([this] { supervisor_->Run(); });
  }
  void Add(const std::string& name, const std::string& script, int order = 1) {
    supervisor_->Add({name, {"/bin/sh", "-c", script}, dir_ + "/" + name + ".log", order});
  }
  RunningChild WaitFor(const std::function<bool(const RunningChild&)>& wanted) {
    std::unique_lock lock(mutex_);
    RunningChild found;
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), [&] {
      for (const RunningChild& child : children_) {
        if (!wanted(child)) continue;
        found = child;
        return true;
      }
      return false;
    }));
    return found;
  }
  void StopAndJoin() {
    supervisor_->RequestStop();
    thread_.join();
  }

  SystemClock clock_;
  std::string dir_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<RunningChild> children_;
  std::unique_ptr<Supervisor> supervisor_;
  std::jthread thread_;
};

TEST_F(SupervisorTest, AChildsEnvironmentIsOursAndMore) {
  ::setenv("ENVICUTOR_TEST_OURS", "ours", 1);
  Start();
  supervisor_->Add({.name = "env",
                    .argv = {"/bin/sh", "-c", "echo $ENVICUTOR_TEST_OURS $ENVICUTOR_TEST_MORE"},
                    .log_path = dir_ + "/env.log",
                    .environment = {"ENVICUTOR_TEST_OURS=other", "ENVICUTOR_TEST_MORE=more"}});
  WaitFor([](const RunningChild& c) { return c.restarts > 0; });
  StopAndJoin();
  ::unsetenv("ENVICUTOR_TEST_OURS");
  EXPECT_THAT(*ReadFile(dir_ + "/env.log"), ::testing::HasSubstr("ours more"));
}

TEST_F(SupervisorTest, AKilledChildComesBackAndStopEndsIt) {
  Start();
  Add("part", "echo hello; exec sleep 1000");
  const RunningChild first = WaitFor([](const RunningChild& c) { return c.process.pid > 0; });
  SendSignal(OpenProcess(first.process), SIGKILL);
  const RunningChild second = WaitFor(
      [&](const RunningChild& c) { return c.process.pid > 0 && !(c.process == first.process); });
  EXPECT_EQ(second.restarts, 1);
  StopAndJoin();
  EXPECT_FALSE(OpenProcess(second.process).valid());
  EXPECT_THAT(*ReadFile(dir_ + "/part.log"),
              ::testing::HasSubstr("part ended with signal 9, it is started again"));
}

// As in a shell's background job: it took the supervisor 20 s to stop such a child.
TEST_F(SupervisorTest, SignalsThatItsOwnShellIgnoresReachTheChildren) {
  struct sigaction before {};
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGTERM, &ignore, &before);
  Start();
  Add("part", "grep SigIgn /proc/self/status; touch " + dir_ + "/up; exec sleep 1000");
  WaitFor([](const RunningChild& c) { return c.process.pid > 0; });
  while (!std::filesystem::exists(dir_ + "/up")) std::this_thread::yield();
  StopAndJoin();
  ::sigaction(SIGTERM, &before, nullptr);
  EXPECT_THAT(*ReadFile(dir_ + "/part.log"), ::testing::HasSubstr("SigIgn:\t0000000000000000"));
}

TEST_F(SupervisorTest, StopsInOrder) {
  Start();
  const std::string order = dir_ + "/order";
  const auto script = [&](const std::string& name) {
    return "trap 'echo " + name + " >> " + order + "; exit 0' TERM; touch " + dir_ + "/" + name +
           ".up; while :; do sleep 0.02; done";
  };
  Add("last", script("last"), 3);
  Add("first", script("first"), 1);
  WaitFor([](const RunningChild& c) { return c.name == "first" && c.process.pid > 0; });
  while (!std::filesystem::exists(dir_ + "/first.up") ||
         !std::filesystem::exists(dir_ + "/last.up")) {
    std::this_thread::yield();
  }
  StopAndJoin();
  EXPECT_EQ(*ReadFile(order), "first\nlast\n");
}

TEST(ToolTest, GivesOutputOrLastWords) {
  EXPECT_EQ(*RunTool({"/bin/echo", "hi"}, "", {}), "hi\n");
  const std::string log = ::testing::TempDir() + "/envicutor-tool.log";
  std::filesystem::remove(log);
  const auto failed = RunTool({"/bin/sh", "-c", "echo broken >&2; exit 3"}, log, {});
  EXPECT_THAT(failed.status().message(), ::testing::HasSubstr("broken"));
  std::filesystem::remove(log);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(RunTool({"/bin/sleep", "1000"}, "", stop.get_token()).status().code(),
            Code::kCancelled);
}

}  // namespace
}  // namespace envicutor::standalone

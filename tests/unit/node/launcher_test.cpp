#include "standalone/node/launcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace envicutor::standalone {
namespace {

std::string BinDir() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
}

// Everything that a started container said and wrote until its end.
struct Ended {
  std::vector<InitEvent> events;
  std::string output;
};

class LauncherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root: namespaces and mounts";
    std::string pattern = ::testing::TempDir() + "/envicutor-launch-XXXXXX";
    dir_ = ::mkdtemp(pattern.data());
    std::filesystem::create_directories(dir_ + "/root");
  }
  void TearDown() override {
    if (!dir_.empty()) std::filesystem::remove_all(dir_);
  }

  LaunchRequest Request(const std::string& script) const {
    LaunchRequest request;
    request.init_binary = BinDir() + "/envicutor-pod-init";
    request.plan.root_dir = dir_ + "/root";
    request.plan.bin_dir = BinDir();
    request.plan.argv = {"sh", "-c", script};
    request.plan.env = {"PATH=/usr/bin:/bin", "GREETING=hello"};
    request.plan.hostname = "pod-1";
    return request;
  }

  // `terminate_at`: SIGTERM is sent when this has been written.
  static Ended RunToEnd(LaunchRequest request, const std::string& terminate_at = "") {
    std::array<int, 2> pipe{};
    EXPECT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
    request.output_fd = pipe[1];
    Result<std::unique_ptr<PodProcess>> started = Launch(request);
    ::close(pipe[1]);
    Ended ended;
    if (!started.ok()) {
      ADD_FAILURE() << started.status().ToString();
      return ended;
    }
    PodProcess& process = **started;
    bool closed = false;
    bool output_open = true;
    while (!closed || output_open) {
      std::array<pollfd, 2> polled{pollfd{closed ? -1 : process.control(), POLLIN, 0},
                                   pollfd{output_open ? pipe[0] : -1, POLLIN, 0}};
      if (::poll(polled.data(), polled.size(), 60'000) <= 0) {
        ADD_FAILURE() << "no end within a minute; output: " << ended.output;
        break;
      }
      if (polled[0].revents != 0) {
        for (InitEvent& event : process.TakeEvents(&closed)) ended.events.push_back(event);
      }
      if (polled[1].revents == 0) continue;
      std::array<char, 4096> buffer{};
      const ssize_t length = ::read(pipe[0], buffer.data(), buffer.size());
      if (length <= 0) {
        output_open = false;
        continue;
      }
      const bool before = ended.output.find(terminate_at) == std::string::npos;
      ended.output.append(buffer.data(), static_cast<size_t>(length));
      if (before && ended.output.find(terminate_at) != std::string::npos) process.Terminate();
    }
    process.Wait();
    ::close(pipe[0]);
    return ended;
  }

  std::string dir_;
};

TEST_F(LauncherTest, RunsTheCommandInARootOfItsOwn) {
  std::ofstream(dir_ + "/secret") << "from a volume\n";
  LaunchRequest request = Request(
      "echo $GREETING; hostname; cat /etc/envicutor/tls/key; ls /proc | grep -c '^[0-9]'; "
      "test -e /etc/shadow || echo no shadow; touch /usr/x 2>/dev/null || echo read-only; exit 3");
  request.plan.mounts.push_back(
      {.source = dir_ + "/secret", .target = "/etc/envicutor/tls/key", .read_only = true});
  const Ended ended = RunToEnd(request);
  ASSERT_EQ(ended.events.size(), 2U);
  EXPECT_EQ(ended.events[0].type, InitEvent::Type::kStarted);
  EXPECT_EQ(ended.events[1].exit_code, 3);
  EXPECT_EQ(ended.events[1].signal, 0);
  // init, sh, ls, grep
  EXPECT_EQ(ended.output, "hello\npod-1\nfrom a volume\n4\nno shadow\nread-only\n");
}

TEST_F(LauncherTest, ACommandThatIsNotThereIsAnErrorInWords) {
  LaunchRequest request = Request("");
  request.plan.argv = {"no-such-command"};
  const Ended ended = RunToEnd(request);
  ASSERT_EQ(ended.events.size(), 1U);
  EXPECT_EQ(ended.events[0].type, InitEvent::Type::kError);
  EXPECT_THAT(ended.events[0].message, ::testing::HasSubstr("no-such-command"));
}

TEST_F(LauncherTest, TerminateReachesTheCommandAndASignalIsReported) {
  const Ended ended = RunToEnd(Request("echo ready; exec sleep 1000"), "ready");
  ASSERT_EQ(ended.events.size(), 2U);
  EXPECT_EQ(ended.events[1].signal, SIGTERM);
}

TEST_F(LauncherTest, AMissingVolumeIsAnErrorInWords) {
  LaunchRequest request = Request("true");
  request.plan.mounts.push_back({.source = dir_ + "/absent", .target = "/x", .read_only = true});
  const Ended ended = RunToEnd(request);
  ASSERT_EQ(ended.events.size(), 1U);
  EXPECT_THAT(ended.events[0].message, ::testing::HasSubstr("/absent"));
}

TEST_F(LauncherTest, DestroyingTheHandleEndsTheWholeTree) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe2(pipe.data(), O_CLOEXEC), 0);
  LaunchRequest request = Request("setsid sh -c 'trap \"\" TERM; sleep 1000' & exec sleep 1000");
  request.output_fd = pipe[1];
  Result<std::unique_ptr<PodProcess>> started = Launch(request);
  ::close(pipe[1]);
  ASSERT_TRUE(started.ok()) << started.status().ToString();
  pollfd polled{(*started)->control(), POLLIN, 0};
  ASSERT_EQ(::poll(&polled, 1, 60'000), 1);
  started->reset();
  char byte = 0;
  // The last process that held the pipe is gone.
  EXPECT_EQ(::read(pipe[0], &byte, 1), 0);
  ::close(pipe[0]);
}

class MachineTest : public LauncherTest {
 protected:
  void SetUp() override {
    LauncherTest::SetUp();
    if (IsSkipped()) return;
    if (::access("/usr/bin/linux.uml", X_OK) != 0 || ::access("/dev/net/tun", R_OK) != 0) {
      GTEST_SKIP() << "needs the package user-mode-linux and /dev/net/tun";
    }
  }

  LaunchRequest MachineRequest(const std::string& script) const {
    LaunchRequest request = Request(script);
    request.plan.privileged = true;
    request.plan.machine = MachinePlan{.memory_bytes = 256LL << 20,
                                       .group_memory_bytes = 64LL << 20,
                                       .host_address = "10.77.0.1",
                                       .guest_address = "10.77.0.2"};
    return request;
  }
};

TEST_F(MachineTest, RunsTheCommandOnPureCgroupV2WithItsExitCode) {
  const Ended ended = RunToEnd(MachineRequest(
      "cat /proc/self/cgroup /sys/fs/cgroup/pod/memory.max; cat /sys/class/net/vec0/operstate "
      ">/dev/null && echo net; exit 42"));
  ASSERT_EQ(ended.events.size(), 2U) << ended.output;
  EXPECT_EQ(ended.events[1].exit_code, 42);
  EXPECT_EQ(ended.output, "0::/pod\n67108864\nnet\n");
}

TEST_F(MachineTest, TerminateGoesThrough) {
  const Ended ended = RunToEnd(
      MachineRequest("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"),
      "ready");
  ASSERT_EQ(ended.events.size(), 2U) << ended.output;
  EXPECT_EQ(ended.events[1].exit_code, 7);
  EXPECT_EQ(ended.output, "ready\nbye\n");
}

TEST_F(MachineTest, TheGroupsOwnOutOfMemoryIsReported) {
  const Ended ended = RunToEnd(MachineRequest("exec dd if=/dev/zero of=/dev/null bs=200M count=1"));
  ASSERT_EQ(ended.events.size(), 2U) << ended.output;
  EXPECT_EQ(ended.events[1].signal, SIGKILL);
  EXPECT_TRUE(ended.events[1].oom_killed);
}

}  // namespace
}  // namespace envicutor::standalone

// What runs while its node is killed, and what the next node makes of it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>

#include "standalone/node/adoption.h"
#include "tests/unit/cli/node_pods.h"

namespace envicutor::standalone {
namespace {

// Waits for a file that /s/NAME of the pod is outside.
constexpr char kUntil[] = "await() { while [ ! -e /s/$1 ]; do sleep 0.02; done; }; ";

class NodeAdoptionTest : public NodePodsTest {
 protected:
  // As a process of its own, so that it can be killed.
  void StartNode() override {
    const std::string binary = BinDir() + "/envicutor";
    const std::string log = dir_ + "/node.log";
    pid_ = ::fork();
    ASSERT_GE(pid_, 0);
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(out, 1);
    ::dup2(out, 2);
    const std::string kubeconfig = dir_ + "/kubeconfig";
    const std::string data = dir_ + "/data";
    const std::string bin = dir_ + "/bin";
    ::execl(binary.c_str(), binary.c_str(), "node", "--kubeconfig", kubeconfig.c_str(), "--name",
            "local", "--node-mode", "host", "--data-dir", data.c_str(), "--bin-dir", bin.c_str(),
            nullptr);
    ::_exit(127);
  }
  void StopNode() override { End(SIGTERM); }
  void KillNode() { End(SIGKILL); }
  void End(int signal) {
    if (pid_ <= 0) return;
    ::kill(pid_, signal);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

  std::string PodDir(const Json& pod) const { return dir_ + "/data/node/pods/" + kube::UidOf(pod); }
  static void Touch(const std::string& file) { std::ofstream(file).put('x'); }
  static void WaitForFile(const std::string& file) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (::access(file.c_str(), F_OK) != 0 && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));  // between two looks
    }
    EXPECT_EQ(::access(file.c_str(), F_OK), 0) << file;
  }
  void WaitForLog(const std::string& text) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    std::string log;
    while (log.find(text) == std::string::npos && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));  // between two looks
      if (const auto text_now = ReadFile(dir_ + "/node.log"); text_now.ok()) log = *text_now;
    }
    EXPECT_THAT(log, ::testing::HasSubstr(text));
  }
  [[nodiscard]] bool LogSays(const std::string& text) const {
    const std::string path = "/api/v1/namespaces/" + std::string(kNs) + "/pods/pod/log";
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < deadline) {
      if (const auto log = client_->GetRaw(path); log.ok() && *log == text) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));  // between two looks
    }
    return false;
  }
  // Its folder /s is DIR/shared.
  Json Run(const std::string& script, const std::string& restart = "Never") {
    Create("pod", kUntil + script, restart,
           {{"container",
             {{"volumeMounts", Json::array({{{"name", "shared"}, {"mountPath", "/s"}}})}}},
            {"spec",
             {{"volumes",
               Json::array({{{"name", "shared"}, {"hostPath", {{"path", dir_ + "/shared"}}}}})}}}});
    return WaitForPhase("pod", "Running");
  }
  static Json ContainerOf(const Json& pod) { return pod["status"]["containerStatuses"][0]; }
  static UniqueFd ProcessOf(const std::string& pod_dir) {
    const auto record = ReadProcessRecord(pod_dir);
    EXPECT_TRUE(record.ok()) << record.status().ToString();
    return record.ok() ? OpenRecorded(*record) : UniqueFd();
  }

  pid_t pid_ = 0;
};

TEST_F(NodeAdoptionTest, AContainerRunsOnAndIsTakenOverWithItsLog) {
  // More than a pipe holds, while nobody reads.
  const Json before =
      Run("echo one; await away; head -c 3000000 /dev/zero | tr '\\0' x | fold -w 99; echo; touch "
          "/s/wrote; "
          "await back; echo two; exit 3");
  // What a node has not read when it dies may be dropped for what comes later.
  EXPECT_TRUE(LogSays("one\n"));
  KillNode();
  Touch(dir_ + "/shared/away");
  WaitForFile(dir_ + "/shared/wrote");
  const UniqueFd process = ProcessOf(PodDir(before));
  ASSERT_TRUE(process.valid()) << "it runs while no node is there";
  StartNode();
  WaitForLog("container taken over");
  Touch(dir_ + "/shared/back");
  const Json after = WaitForPhase("pod", "Failed");
  EXPECT_EQ(Terminated(after)["exitCode"], 3);
  EXPECT_EQ(ContainerOf(after)["restartCount"], 0);
  EXPECT_EQ(Terminated(after)["containerID"], ContainerOf(before)["containerID"]);
  EXPECT_EQ(after["status"]["podIP"], before["status"]["podIP"]);
  const auto log = client_->GetRaw("/api/v1/namespaces/" + std::string(kNs) + "/pods/pod/log");
  ASSERT_TRUE(log.ok());
  EXPECT_THAT(*log, ::testing::StartsWith("one\n"));
  EXPECT_THAT(*log, ::testing::EndsWith("x\ntwo\n"));
}

TEST_F(NodeAdoptionTest, AnEndWhileNoNodeIsThereIsKnownWithItsExitCode) {
  const Json before = Run("await away; echo last words; exit 7");
  const UniqueFd process = ProcessOf(PodDir(before));
  KillNode();
  Touch(dir_ + "/shared/away");
  ASSERT_TRUE(WaitForEnd(process, std::chrono::seconds(60)));
  StartNode();
  const Json after = WaitForPhase("pod", "Failed");
  EXPECT_EQ(Terminated(after)["exitCode"], 7);
  EXPECT_EQ(Terminated(after)["reason"], "Error");
  const auto log = client_->GetRaw("/api/v1/namespaces/" + std::string(kNs) + "/pods/pod/log");
  ASSERT_TRUE(log.ok());
  EXPECT_EQ(*log, "last words\n");
}

TEST_F(NodeAdoptionTest, AContainerThatWasKilledMeanwhileIsStartedAgain) {
  const Json before = Run("await never", "Always");
  KillNode();
  const UniqueFd process = ProcessOf(PodDir(before));
  SendSignal(process, SIGKILL);
  ASSERT_TRUE(WaitForEnd(process, std::chrono::seconds(60)));
  StartNode();
  const Json after = WaitFor("pod", [](const Json& pod) {
    return pod.is_object() && ContainerOf(pod)["restartCount"] == 1 &&
           At(ContainerOf(pod), {"state", "running"}).is_object();
  });
  EXPECT_EQ(ContainerOf(after)["lastState"]["terminated"]["reason"], "ContainerStatusUnknown");
  EXPECT_EQ(ContainerOf(after)["lastState"]["terminated"]["exitCode"], 137);
}

TEST_F(NodeAdoptionTest, APodDeletedMeanwhileIsEndedAtOnce) {
  const Json before = Run("trap '' TERM; await never");
  const UniqueFd process = ProcessOf(PodDir(before));
  KillNode();
  kube::Client::DeleteOptions now;
  now.grace_period_seconds = 0;
  ASSERT_TRUE(client_->Delete(kube::kPods, kNs, "pod", now).ok());
  StartNode();
  EXPECT_TRUE(WaitForEnd(process, std::chrono::seconds(60)));
}

TEST_F(NodeAdoptionTest, WhatWasTakenOverIsTerminatedInGrace) {
  const Json before = Run("trap 'touch /s/bye; exit 0' TERM; await never");
  const UniqueFd process = ProcessOf(PodDir(before));
  KillNode();
  StartNode();
  ASSERT_TRUE(client_->Delete(kube::kPods, kNs, "pod").ok());
  WaitFor("pod", [](const Json& pod) { return pod.is_null(); });
  EXPECT_TRUE(WaitForEnd(process, std::chrono::seconds(0)));
  EXPECT_EQ(::access((dir_ + "/shared/bye").c_str(), F_OK), 0);
}

TEST_F(NodeAdoptionTest, TheNodesOwnStopEndsWhatItTookOver) {
  const UniqueFd process = ProcessOf(PodDir(Run("await never")));
  KillNode();
  StartNode();
  WaitForLog("container taken over");
  StopNode();
  EXPECT_TRUE(WaitForEnd(process, std::chrono::seconds(0)));
}

TEST_F(NodeAdoptionTest, LeftoversAreEndedWithoutANodeAndNeverBesideOne) {
  const UniqueFd process = ProcessOf(PodDir(Run("await never")));
  EXPECT_EQ(EndLeftoverPods(dir_ + "/data"), 0);
  EXPECT_FALSE(WaitForEnd(process, std::chrono::seconds(0)));
  KillNode();
  EXPECT_EQ(EndLeftoverPods(dir_ + "/data"), 1);
  EXPECT_TRUE(WaitForEnd(process, std::chrono::seconds(0)));
}

}  // namespace
}  // namespace envicutor::standalone

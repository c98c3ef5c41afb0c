// Attacks that must fail. docs/threat-model.md names the attacker, the asset and the defence of
// each.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <csignal>
#include <cstddef>
#include <cstring>
#include <future>

#include "tests/conformance/fixture.h"

namespace envicutor::agent {
namespace {

using api::Limit;

#define EXPECT_REFUSED(outcome)                                                    \
  do {                                                                             \
    const StageOutcome refused_outcome = (outcome);                                \
    EXPECT_TRUE(refused_outcome.stdout_data.ends_with("refused\n") &&              \
                refused_outcome.stdout_data.find("POSSIBLE") == std::string::npos) \
        << testing::PrintToString(refused_outcome);                                \
  } while (false)

TEST_P(Conformance, AttackForkBomb) {
  Limit(Limit::kWallTime, 1000);
  const StageOutcome outcome = Probe({"fork-bomb"});
  EXPECT_TRUE(outcome.killed == Killed::kWallTime || outcome.killed == Killed::kCpuTime)
      << testing::PrintToString(outcome);
  EXPECT_TRUE(Exited(Probe({}), 0));
}

TEST_P(Conformance, AttackThreadBomb) {
  Limit(Limit::kWallTime, 1000);
  const StageOutcome outcome = Probe({"thread-bomb"});
  EXPECT_TRUE(outcome.killed == Killed::kWallTime || outcome.killed == Killed::kCpuTime)
      << testing::PrintToString(outcome);
}

TEST_P(Conformance, AttackMemoryBombByManyChildren) {
  NEEDS_MEMORY_CONTROLLER();
  const StageOutcome outcome = Probe({"memory-children", "15", std::to_string(30 * kMiB)});
  EXPECT_TRUE(outcome.oom_killed) << testing::PrintToString(outcome);
  EXPECT_LE(outcome.memory_bytes, 32 * kMiB);
}

TEST_P(Conformance, AttackFillingTmpfsIsBoundedByDiskOrMemory) {
  NEEDS_MEMORY_CONTROLLER();
  Limit(Limit::kMemory, 16 * kMiB);
  const StageOutcome outcome = Probe({"write", "/dev/shm/f", std::to_string(60 * kMiB)});
  EXPECT_TRUE(outcome.oom_killed) << testing::PrintToString(outcome);
  EXPECT_LE(outcome.memory_bytes, 16 * kMiB);
}

TEST_P(Conformance, AttackInodeExhaustion) {
  const auto box = NewBox(4 * kMiB);
  EXPECT_EQ(ProbeIn(*box, {"inodes", "/tmp"}).stdout_data, "28\n");
  EXPECT_EQ(ShellIn(*box, "ls -A /tmp | wc -l").stdout_data, "0\n");
}

// Memory that has no name: it counts as memory, and ends with the stage.
TEST_P(Conformance, AttackFillingMemoryWithoutAName) {
  NEEDS_MEMORY_CONTROLLER();
  const auto box = NewBox();
  for (const char* how : {"memfd", "sysv-memory"}) {
    const StageOutcome outcome = ProbeIn(*box, {how, std::to_string(60 * kMiB)});
    EXPECT_TRUE(outcome.oom_killed || outcome.stdout_data == "refused\n")
        << how << ": " << testing::PrintToString(outcome);
    EXPECT_LE(outcome.memory_bytes, 32 * kMiB) << how;
  }
  const StageOutcome after = ProbeIn(*box, {"sysv-memory", std::to_string(8 * kMiB)});
  EXPECT_FALSE(after.oom_killed) << testing::PrintToString(after);
}

TEST_P(Conformance, AttackFilesThatNoFolderNames) {
  const auto box = NewBox(4 * kMiB);
  for (int i = 0; i < 2; ++i) {  // gone with the stage: the second finds all of the disk
    EXPECT_EQ(ProbeIn(*box, {"unlinked", "/tmp/f", std::to_string(16 * kMiB)}).stdout_data,
              std::to_string(4 * kMiB) + "\n");
  }
}

TEST_P(Conformance, AttackVeryDeepFolders) {
  const auto box = NewBox();
  EXPECT_EQ(ProbeIn(*box, {"deep", "/tmp", "3000"}).stdout_data, "deep\n");
  EXPECT_EQ(ShellIn(*box, "ls -A /tmp | wc -l").stdout_data, "0\n");
  EXPECT_EQ(ProbeIn(*box, {"deep", "/box", "200"}).stdout_data, "deep\n");
  const auto clone = box->Clone();
  ASSERT_FALSE(clone.ok());
  EXPECT_EQ(clone.status().code(), Code::kResourceExhausted) << clone.status().ToString();
}

TEST_P(Conformance, AttackFoldersNobodyMayEnter) {
  const auto box = NewBox();
  EXPECT_TRUE(Exited(ShellIn(*box,
                             "mkdir -p /tmp/t/u /box/t/u && touch /tmp/t/u/x /box/t/u/x && "
                             "chmod 000 /tmp/t/u /tmp/t /box/t/u /tmp"),
                     0));
  EXPECT_EQ(ShellIn(*box, "ls -A /tmp | wc -l").stdout_data, "0\n");
  EXPECT_TRUE(box->Clone().ok());
}

// What needs privileges fails on both engines.
TEST_P(Conformance, AttackPowersOfRoot) { EXPECT_REFUSED(Probe({"powers"})); }
TEST_P(Conformance, AttackCapabilities) { EXPECT_REFUSED(Probe({"capabilities"})); }
TEST_P(Conformance, AttackDeepSockets) { EXPECT_REFUSED(Probe({"deep-sockets"})); }
TEST_P(Conformance, AttackSystemCallsWithNoBusinessHere) {
  NOT_WITH_ISOLATE(
      "it makes its boxes with some of them, so they meet a process without capabilities: "
      "AttackPowersOfRoot");
  EXPECT_REFUSED(Probe({"calls"}));
}
TEST_P(Conformance, AttackNamespacesInsideTheBox) { EXPECT_REFUSED(Probe({"namespaces"})); }
TEST_P(Conformance, AttackSocketFamilies) { EXPECT_REFUSED(Probe({"sockets"})); }
TEST_P(Conformance, AttackDeviceNodes) { EXPECT_REFUSED(Probe({"devices"})); }
TEST_P(Conformance, AttackGainingPrivileges) {
  NOT_WITH_ISOLATE(
      "it leaves the bounding set full; no_new_privs and nosuid leave nothing to gain by it");
  EXPECT_REFUSED(Probe({"setuid"}));
}
TEST_P(Conformance, AttackTerminalInjection) { EXPECT_REFUSED(Probe({"tiocsti"})); }
TEST_P(Conformance, AttackLocksOnSharedFiles) { EXPECT_REFUSED(Probe({"locks", kProbe})); }
TEST_P(Conformance, AttackSignalsToOthers) { EXPECT_REFUSED(Probe({"signal-others"})); }

TEST_P(Conformance, AttackOtherAbis) {
  const StageOutcome outcome = Probe({"i386"});
  // Kernels without the i386 ABI answer int 0x80 with a signal.
  if (outcome.exit_signal != SIGSEGV) EXPECT_REFUSED(outcome);
}

TEST_P(Conformance, AttackWritingWhereNothingIsWritable) {
  EXPECT_REFUSED(
      Probe({"write-places", "/", "/bin", "/etc", "/etc/passwd", "/dev", "/nix", "/nix/store",
             "/nix/store/tools", kProbe, "/proc/self/oom_score_adj", "/proc/self/mem_x",
             "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/usr/bin"}));
}

TEST_P(Conformance, OnlyTheThreePlacesAreWritable) {
  EXPECT_EQ(Shell("for d in /box /tmp /dev/shm; do touch $d/x && echo $d; done; pwd; echo $HOME")
                .stdout_data,
            "/box\n/tmp\n/dev/shm\n/box\n/tmp\n");
}

TEST_P(Conformance, AttackSetuidFiles) {
  const StageOutcome outcome = Shell(
      "cat /nix/store/tools/busybox > busybox && chmod 6755 busybox && ./busybox id -u > out; cat "
      "out; id -u > mine; "
      "cat mine; grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status; grep Seccomp: "
      "/proc/self/status; "
      "grep Groups /proc/self/status");
  const size_t line = outcome.stdout_data.find('\n');
  const std::string uid = outcome.stdout_data.substr(0, line);
  EXPECT_EQ(outcome.stdout_data.substr(line + 1, uid.size()), uid);
  EXPECT_NE(uid, "0");
  EXPECT_NE(outcome.stdout_data.find("CapEff:\t0000000000000000"), std::string::npos)
      << outcome.stdout_data;
  // isolate leaves the bounding set full; no_new_privs and nosuid leave nothing to gain by it.
  if (GetParam() != "isolate") {
    EXPECT_NE(outcome.stdout_data.find("CapBnd:\t0000000000000000"), std::string::npos)
        << outcome.stdout_data;
  }
  EXPECT_NE(outcome.stdout_data.find("Seccomp:\t2"), std::string::npos) << outcome.stdout_data;
  EXPECT_NE(outcome.stdout_data.find("Groups:\t \n"), std::string::npos) << outcome.stdout_data;
}

TEST_P(Conformance, AttackReadingProcOfOthers) {
  // Its own processes only; not even the box's init.
  EXPECT_EQ(Shell("set -- /proc/[0-9]*; echo $#").stdout_data, "1\n");
  const StageOutcome secrets = Shell(
      "cat /proc/1/environ /proc/kcore /proc/keys /proc/kmsg /proc/1/cmdline 2>/dev/null | wc -c; "
      "cat /proc/self/cgroup; ls /sys 2>&1 | wc -l; hostname");
  EXPECT_EQ(secrets.stdout_data.substr(0, 2), "0\n") << secrets.stdout_data;
  // isolate makes no cgroup namespace: a program sees the name of its group, though no group.
  if (GetParam() != "isolate") {
    EXPECT_NE(secrets.stdout_data.find("0::/\n"), std::string::npos) << secrets.stdout_data;
  }
  EXPECT_NE(secrets.stdout_data.find("\nbox\n"), std::string::npos) << secrets.stdout_data;
}

TEST_P(Conformance, AttackReadingTheHost) {
  const StageOutcome outcome = Shell(
      "cat /etc/shadow /root/.bashrc /var/run/secrets/kubernetes.io/serviceaccount/token "
      "/sys/kernel/notes "
      "/home/x /sys/fs/cgroup/cgroup.procs 2>/dev/null | wc -c; ls /; ls /nix/store");
  EXPECT_EQ(outcome.stdout_data, "0\nbin\nbox\ndev\netc\nnix\nproc\ntmp\nusr\ntools\n");
}

TEST_P(Conformance, WhatADeviceFolderHas) {
  EXPECT_EQ(Shell("ls /dev; echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 5 "
                  "/dev/urandom | wc -c; "
                  "echo out > /dev/stdout; echo err > /dev/stderr")
                .stdout_data,
            "fd\nfull\nnull\nrandom\nshm\nstderr\nstdin\nstdout\nurandom\nzero\n3\n5\nout\n");
}

TEST_P(Conformance, TheUserHasAName) {
  EXPECT_EQ(
      Shell("id -un; grep -c localhost /etc/hosts; /bin/sh -c 'echo sh'; /usr/bin/env echo env")
          .stdout_data,
      "box\n2\nsh\nenv\n");
}

TEST_P(Conformance, AttackTheAgentsEnvironmentAndDescriptors) {
  ::setenv("ENVICUTOR_SECRET", "s3cret", 1);
  const int leaked = ::open("/dev/null", O_RDONLY);  // on purpose without O_CLOEXEC
  EXPECT_EQ(Shell("cat /proc/self/environ | tr '\\0' '\\n' | grep -c SECRET").stdout_data, "0\n");
  EXPECT_EQ(Probe({"descriptors"}).stdout_data, "0\n");
  ::close(leaked);
  ::unsetenv("ENVICUTOR_SECRET");
}

TEST_P(Conformance, AttackTheNetwork) {
  for (const char* address : {"169.254.169.254", "1.1.1.1", "10.0.0.1", "192.168.0.1"}) {
    const StageOutcome outcome = Probe({"connect", address, "80"});
    EXPECT_EQ(outcome.stdout_data, "errno 101\nrefused\n") << address;  // ENETUNREACH, at once
  }
}

TEST_P(Conformance, AttackCloudMetadata) {
  for (const char* address : {"169.254.169.254", "100.100.100.200", "fd00:ec2::254", "fe80::1"}) {
    const StageOutcome outcome = Probe({"connect", address, "80"});
    EXPECT_TRUE(outcome.stdout_data.ends_with("refused\n")) << address << outcome.stdout_data;
    EXPECT_LT(outcome.wall_time_micros, 20'000'000) << address;  // refused, not timed out
  }
}

TEST_P(Conformance, AttackTheNetworkSettings) { EXPECT_REFUSED(Probe({"netlink"})); }

TEST_P(Conformance, AttackTheHostsLoopback) {
  const int server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(server, reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
  ASSERT_EQ(::listen(server, 8), 0);
  socklen_t length = sizeof(at);
  ::getsockname(server, reinterpret_cast<sockaddr*>(&at), &length);
  EXPECT_EQ(Probe({"connect", "127.0.0.1", std::to_string(ntohs(at.sin_port))}).stdout_data,
            "errno 111\nrefused\n");
  ::close(server);
}

TEST_P(Conformance, TheOwnLoopbackWorksAgainAndAgain) {
  const auto box = NewBox();
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(ProbeIn(*box, {"loopback", "8000"}).stdout_data, "connected\n");
  }
}

// Two boxes at once: `first` runs until `second` has finished.
void Beside(Box& first_box, const StageSpec& first, const std::function<void()>& second) {
  std::stop_source stop;
  auto running =
      std::async(std::launch::async, [&] { return first_box.Run(first, stop.get_token()); });
  EXPECT_EQ(running.wait_for(std::chrono::milliseconds(400)), std::future_status::timeout);
  second();
  stop.request_stop();
  EXPECT_EQ(running.get().killed, Killed::kCancelled);
}

TEST_P(Conformance, AttackAnotherBoxesThings) {
  const auto first = NewBox();
  const auto second = NewBox();
  Beside(
      *first,
      Spec({kShell, "-c",
            "echo s > /tmp/a; echo s > /dev/shm/a; echo s > /box/a; chmod 777 /tmp/a /dev/shm/a; "
            "/nix/store/tools/probe abstract bind secret & exec /nix/store/tools/probe sysv make "
            "4242 wait"}),
      [&] {
        EXPECT_EQ(ShellIn(*second, "cat /tmp/a /dev/shm/a /box/a 2>/dev/null | wc -c").stdout_data,
                  "0\n");
        EXPECT_REFUSED(ProbeIn(*second, {"abstract", "connect", "secret"}));
        EXPECT_REFUSED(ProbeIn(*second, {"sysv", "find", "4242"}));
        EXPECT_REFUSED(ProbeIn(*second, {"signal-others"}));
      });
}

TEST_P(Conformance, TheSamePortInTwoBoxesAtOnce) {
  const auto first = NewBox();
  const auto second = NewBox();
  Beside(*first, Spec({kShell, "-c", "/nix/store/tools/probe loopback 9000; sleep 5"}), [&] {
    EXPECT_EQ(ProbeIn(*second, {"loopback", "9000"}).stdout_data, "connected\n");
  });
}

TEST_P(Conformance, StagesShareTheBoxOnly) {
  const auto box = NewBox();
  EXPECT_TRUE(Exited(ShellIn(*box,
                             "echo 1 > /box/a; echo 1 > /tmp/a; mkdir -p /dev/shm/d/e; "
                             "/nix/store/tools/probe sysv make 77"),
                     0));
  EXPECT_EQ(ShellIn(*box, "cat /box/a; ls -A /tmp /dev/shm; /nix/store/tools/probe sysv find 77")
                .stdout_data,
            "1\n/dev/shm:\n\n/tmp:\nrefused\n");
}

TEST_P(Conformance, KillingEverythingHitsOnlyTheBox) {
  const auto innocent = NewBox();
  Beside(*innocent, Spec({kProbe, "sleep", "10000"}), [&] {
    const StageOutcome outcome = Shell("kill -9 -1; kill -9 1; echo alive");
    EXPECT_NE(outcome.killed, Killed::kSandboxError) << outcome.error;
  });
}

}  // namespace
}  // namespace envicutor::agent

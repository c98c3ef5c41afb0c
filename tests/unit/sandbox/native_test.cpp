// The pure parts of the native engine, and its pipes.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <set>

#include "executor-agent/sandbox/native/budget.h"
#include "executor-agent/sandbox/native/process_tree.h"
#include "executor-agent/sandbox/native/seccomp_filter.h"
#include "executor-agent/sandbox/native/spawner_image.h"
#include "executor-agent/sandbox/native/stream.h"
#include "executor-agent/sandbox/sandbox.h"

namespace envicutor::agent::native {
namespace {

TEST(Budget, LooksWhenItCouldFirstBeUsedUp) {
  Budget budget;
  budget.cpu_micros = 1'000'000;
  EXPECT_EQ(budget.UntilNextLook(0), 1'000'000'000);
  EXPECT_EQ(budget.UntilNextLook(750'000), 250'000'000);
  budget.parallel = 4;
  EXPECT_EQ(budget.UntilNextLook(0), 250'000'000);
}

TEST(Budget, NeverLooksMoreOftenThanUseful) {
  Budget budget;
  budget.cpu_micros = 1000;
  budget.parallel = 64;
  EXPECT_EQ(budget.UntilNextLook(999), Budget::kMinLookNanos);
  EXPECT_EQ(budget.UntilNextLook(5000), Budget::kMinLookNanos);
}

TEST(OutputStream, KeepsUpToTheLimitAndCountsAll) {
  OutputStream stream;
  UniqueFd end;
  ASSERT_TRUE(stream.Open(5, ::getuid(), &end).ok());
  EXPECT_FALSE(stream.Read());
  ASSERT_EQ(::write(end.get(), "12345", 5), 5);
  EXPECT_TRUE(stream.Read());
  EXPECT_FALSE(stream.over());
  ASSERT_EQ(::write(end.get(), "678", 3), 3);
  EXPECT_TRUE(stream.Read());
  EXPECT_TRUE(stream.over());
  end.reset();
  EXPECT_FALSE(stream.Read());
  EXPECT_EQ(stream.fd(), -1);
  EXPECT_EQ(stream.total(), 8);
  EXPECT_EQ(stream.TakeKept(), "12345");
}

TEST(InputStream, ClosesAtTheEndAndWhenNobodyReads) {
  std::signal(SIGPIPE, SIG_IGN);
  InputStream small;
  UniqueFd end;
  ASSERT_TRUE(small.Open("hello", ::getuid(), &end).ok());
  EXPECT_EQ(small.fd(), -1);  // all of it fitted into the pipe
  std::string text(10, '\0');
  EXPECT_EQ(::read(end.get(), text.data(), text.size()), 5);
  EXPECT_EQ(::read(end.get(), text.data(), text.size()), 0);

  const std::string much(1 << 20, 'x');
  InputStream big;
  ASSERT_TRUE(big.Open(much, ::getuid(), &end).ok());
  EXPECT_NE(big.fd(), -1);
  end.reset();
  big.Serve();
  EXPECT_EQ(big.fd(), -1);
}

// A little interpreter for what a filter says about a call; enough for those that are made here.
uint32_t Judge(const std::vector<sock_filter>& filter, const seccomp_data& call) {
  const auto* words = reinterpret_cast<const unsigned char*>(&call);
  uint32_t a = 0;
  uint32_t x = 0;
  for (size_t pc = 0; pc < filter.size(); ++pc) {
    const sock_filter& f = filter[pc];
    bool jump = false;
    switch (f.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        __builtin_memcpy(&a, words + f.k, 4);
        continue;
      case BPF_JMP | BPF_JEQ | BPF_K:
        jump = a == f.k;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        jump = (a & f.k) != 0;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        jump = a > f.k;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        jump = a >= f.k;
        break;
      case BPF_ALU | BPF_XOR | BPF_K:
        a ^= f.k;
        continue;
      case BPF_ALU | BPF_OR | BPF_X:
        a |= x;
        continue;
      case BPF_MISC | BPF_TAX:
        x = a;
        continue;
      case BPF_RET | BPF_K:
        return f.k;
      default:
        ADD_FAILURE() << "instruction " << f.code;
        return 0;
    }
    pc += jump ? f.jt : f.jf;
  }
  ADD_FAILURE() << "no verdict";
  return 0;
}

constexpr uint32_t kX86_64 = 0xC000003E;
constexpr uint32_t kI386 = 0x40000003;

TEST(SeccompFilter, AllowsAndRefuses) {
  const auto filter = CompileSeccompFilter();
  ASSERT_TRUE(filter.ok()) << filter.status().ToString();
  const auto judge = [&](int nr, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0,
                         uint32_t arch = kX86_64) {
    return Judge(*filter, seccomp_data{nr, arch, 0, {a0, a1, a2, 0, 0, 0}});
  };
  constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
  constexpr uint32_t kPerm = SECCOMP_RET_ERRNO | EPERM;
  constexpr uint32_t kNoSys = SECCOMP_RET_ERRNO | ENOSYS;
  EXPECT_EQ(judge(0), kAllow);                  // read
  EXPECT_EQ(judge(59), kAllow);                 // execve
  EXPECT_EQ(judge(56, 0x11), kAllow);           // clone(SIGCHLD)
  EXPECT_EQ(judge(56, 0x3d0f00), kAllow);       // clone for a thread
  EXPECT_EQ(judge(56, 0x10000011), kPerm);      // clone(CLONE_NEWUSER)
  EXPECT_EQ(judge(435), kNoSys);                // clone3
  EXPECT_EQ(judge(165), kPerm);                 // mount
  EXPECT_EQ(judge(101), kPerm);                 // ptrace
  EXPECT_EQ(judge(321), kPerm);                 // bpf
  EXPECT_EQ(judge(16, 0, 0x5401), kAllow);      // ioctl(TCGETS)
  EXPECT_EQ(judge(16, 0, 0x100005412), kPerm);  // ioctl(TIOCSTI), high bits set
  EXPECT_EQ(judge(41, 2, 1), kAllow);           // socket(AF_INET)
  EXPECT_EQ(judge(41, 40, 1), SECCOMP_RET_ERRNO | EAFNOSUPPORT);
  EXPECT_EQ(judge(41, 16, 3, 0), kAllow);  // NETLINK_ROUTE
  EXPECT_EQ(judge(41, 16, 3, 12), SECCOMP_RET_ERRNO | EPROTONOSUPPORT);
  EXPECT_EQ(judge(41, 0, 1), SECCOMP_RET_ERRNO | EAFNOSUPPORT);
  EXPECT_EQ(judge(53, 1, 1), kAllow);                             // socketpair(AF_UNIX)
  EXPECT_EQ(judge(53, 38, 1), SECCOMP_RET_ERRNO | EAFNOSUPPORT);  // AF_ALG
  EXPECT_EQ(judge(72, 0, 1), kAllow);                             // fcntl(F_GETFD)
  for (const uint64_t lock : {6, 7, 37, 38, 1024, 1026}) EXPECT_EQ(judge(72, 0, lock), kPerm);
  EXPECT_EQ(judge(73), kNoSys);   // flock
  EXPECT_EQ(judge(203), kAllow);  // sched_setaffinity, where the CPUs are not dealt out
  EXPECT_EQ(judge(1000), kNoSys);
  EXPECT_EQ(judge(0x40000000), kNoSys);  // x32
  EXPECT_EQ(judge(3, 0, 0, 0, kI386), kNoSys);
}

// The search over the numbers, against the list of all that do not depend on arguments.
TEST(SeccompFilter, JudgesEachNumberAsTheListHasIt) {
  const auto filter = CompileSeccompFilter(true);
  ASSERT_TRUE(filter.ok()) << filter.status().ToString();
  std::set<int> refused;
  for (const auto& [first, last] :
       {std::pair{101, 101}, {103, 103}, {134, 134}, {153, 156}, {159, 159}, {161, 161},
        {163, 176},          {179, 180}, {203, 203}, {212, 212}, {216, 216}, {227, 227},
        {246, 246},          {248, 250}, {256, 256}, {272, 272}, {278, 279}, {298, 298},
        {300, 301},          {303, 305}, {308, 308}, {310, 313}, {320, 321}, {323, 323},
        {425, 433},          {438, 438}, {440, 440}, {442, 443}, {447, 448}}) {
    for (int number = first; number <= last; ++number) refused.insert(number);
  }
  for (int number = 0; number <= 456; ++number) {
    const uint32_t verdict = Judge(*filter, seccomp_data{number, kX86_64, 0, {1, 0, 0, 0, 0, 0}});
    const bool missing = number == 73 || number == 435;  // flock, clone3
    EXPECT_EQ(verdict, missing                    ? SECCOMP_RET_ERRNO | ENOSYS
                       : refused.contains(number) ? SECCOMP_RET_ERRNO | EPERM
                                                  : SECCOMP_RET_ALLOW)
        << number;
  }
}

// Programs inherit the spawner's filter: for whoever does not know the key it must be the
// program's.
TEST(SeccompFilter, OfTheSpawnerIsTheProgramsWithoutTheKey) {
  constexpr uint64_t kKey = 0x0123456789abcdef;
  for (const bool pinned : {false, true}) {
    const auto programs = CompileSeccompFilter(pinned);
    const auto spawners = CompileSeccompFilter(pinned, FilterFor::kSpawner, kKey);
    ASSERT_TRUE(programs.ok() && spawners.ok());
    // Each half of the key alone, the halves exchanged, a bit of each half wrong, what does not fit
    // into one half.
    const uint64_t guesses[] = {0,
                                kKey & 0xffffffff,
                                kKey >> 32U << 32U,
                                kKey << 32U | kKey >> 32U,
                                kKey ^ 1,
                                kKey ^ (uint64_t{1} << 63U),
                                ~kKey};
    const uint64_t firsts[] = {0, 1, 2, 16, 40, 0x11, 0x10000011, 0x3d0f00, 1024, 0x5412};
    const uint32_t arches[] = {kX86_64, kI386};
    std::set<int> keyed;
    for (int number = 0; number <= 600; ++number) {
      for (const int call : {number, number | 0x40000000}) {
        for (const uint32_t arch : arches) {
          for (const uint64_t first : firsts) {
            for (const uint64_t second : firsts) {
              seccomp_data data{call, arch, 0, {first, second, first, 0, 0, 0}};
              const uint32_t verdict = Judge(*programs, data);
              for (const uint64_t guess : guesses) {
                data.args[5] = guess;
                ASSERT_EQ(Judge(*spawners, data), verdict) << call << " " << guess;
              }
              data.args[5] = kKey;
              if (Judge(*spawners, data) != verdict) keyed.insert(call);
            }
          }
        }
      }
    }
    // pivot_root, mount, umount2, unshare, setns, open_tree, move_mount, clone3
    std::set<int> few{155, 165, 166, 272, 308, 428, 429, 435};
    if (pinned) few.insert(203);  // sched_setaffinity
    EXPECT_EQ(keyed, few);
  }
}

TEST(SeccompFilter, LeavesIsolateWhatItMakesBoxesWith) {
  const auto filter = CompileSeccompFilter(true, FilterFor::kIsolate);
  ASSERT_TRUE(filter.ok()) << filter.status().ToString();
  const auto judge = [&](int number, uint64_t first = 0) {
    return Judge(*filter, seccomp_data{number, kX86_64, 0, {first, 0, 0, 0, 0, 0}});
  };
  for (const int call : {165, 166, 155, 161, 308, 272, 435, 73, 56}) {
    EXPECT_EQ(judge(call, CLONE_NEWPID), SECCOMP_RET_ALLOW) << call;
  }
  for (const int call : {321, 248, 250, 101, 298, 304, 246, 203}) {  // bpf, add_key, keyctl, ...
    EXPECT_EQ(judge(call), SECCOMP_RET_ERRNO | EPERM) << call;
  }
  EXPECT_EQ(judge(41, 40), SECCOMP_RET_ERRNO | EAFNOSUPPORT);
}

TEST(ProcessTree, ReadsTicksWhateverTheNameIs) {
  EXPECT_EQ(TicksOfStat("7 (a) b 9) S 1 7 7 0 -1 4194560 101 0 0 0 3 4 10 20 20 0 1 0 5"), 37);
  EXPECT_EQ(TicksOfStat("7 (a) S 1 7"), 0);
  EXPECT_EQ(TicksOfStat(""), 0);
}

TEST(ProcessTree, SeesItself) {
  const std::vector<pid_t> all = ProcessesBelow(::getpid());
  EXPECT_EQ(all.front(), ::getpid());
  EXPECT_GT(UsageOf(all).resident_bytes, 100'000);
}

TEST(SpawnerImage, IsAnElfFile) { EXPECT_TRUE(SpawnerImage().starts_with("\177ELF")); }

TEST(IsolateEngine, SaysThatThereIsNone) {
  SandboxOptions options;
  options.isolate_binary = "/nonexistent/isolate";
  const auto made = NewIsolateSandbox(options);
  EXPECT_EQ(made.status().code(), Code::kFailedPrecondition);
  EXPECT_NE(made.status().message().find("/nonexistent/isolate"), std::string::npos);
}

}  // namespace
}  // namespace envicutor::agent::native

// The agent's side of the spawner, with the real one. Needs root.
#include "executor-agent/sandbox/native/spawner_client.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "executor-agent/sandbox/native/messages.h"
#include "executor-agent/sandbox/native/seccomp_filter.h"

namespace envicutor::agent::native {
namespace {

constexpr std::chrono::seconds kPatience{20};

class SpawnerClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    ASSERT_NE(::mkdtemp(hub_.data()), nullptr);
    constexpr uint64_t kKey = 0x0123456789abcdef;
    const auto filter = CompileSeccompFilter(false, FilterFor::kSpawner, kKey);
    ASSERT_TRUE(filter.ok());
    std::string hello = hub_;
    hello += '\0';
    hello.append(reinterpret_cast<const char*>(&kKey), sizeof(kKey));
    hello.append(reinterpret_cast<const char*>(filter->data()),
                 filter->size() * sizeof(sock_filter));
    client_ = std::make_unique<SpawnerClient>(std::move(hello), nullptr);
    const auto generation = client_->EnsureRunning();
    ASSERT_TRUE(generation.ok()) << generation.status().ToString();
    generation_ = *generation;
  }
  void TearDown() override {
    client_.reset();
    ::rmdir(hub_.c_str());
  }
  static Request Box(uint64_t id) {
    Request request;
    request.op = Op::kMakeBox;
    request.id = id;
    request.uid = 60'000;
    request.disk_bytes = 1 << 20;
    request.inodes = 64;
    return request;
  }
  // Sends while there is room; how that ends.
  Status Fill(const Request& request) {
    constexpr int kMost = 100'000;
    Status sent;
    for (int i = 0; i < kMost && sent.ok(); ++i)
      sent = client_->SendNow(generation_, request, {}, {});
    return sent;
  }
  // Until the thread is in that system call.
  static void Await(long call_number, pid_t thread) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    long number = -1;
    while (number != call_number && std::chrono::steady_clock::now() < deadline) {
      std::ifstream call("/proc/self/task/" + std::to_string(thread) + "/syscall");
      if (!(call >> number)) number = -1;  // "running"
      std::this_thread::yield();
    }
    EXPECT_EQ(number, call_number);
  }

  std::string hub_ = "/tmp/envicutor-spawner-test-XXXXXX";
  std::unique_ptr<SpawnerClient> client_;
  uint64_t generation_ = 0;
};

TEST_F(SpawnerClientTest, WhoSendsDoesNotWaitForAnothersReply) {
  ASSERT_EQ(::kill(client_->pid(), SIGSTOP), 0);
  std::promise<pid_t> caller;
  auto call = std::async(std::launch::async, [&] {
    caller.set_value(static_cast<pid_t>(::syscall(SYS_gettid)));
    return client_->Call(generation_, Box(1), {}, {});
  });
  Await(SYS_recvmsg, caller.get_future().get());
  auto send = std::async(std::launch::async, [&] {
    Request request;
    request.op = Op::kDropBox;
    request.id = 7;
    EXPECT_TRUE(client_->Send(generation_, request, {}, {}).ok());
    return client_->EnsureRunning();
  });
  EXPECT_EQ(send.wait_for(kPatience), std::future_status::ready) << "waits for another's reply";
  ASSERT_EQ(::kill(client_->pid(), SIGCONT), 0);
  const auto box = call.get();
  ASSERT_TRUE(box.ok()) << box.status().ToString();
  EXPECT_EQ(::faccessat(box->get(), kBoxDir, F_OK, 0), 0);
  EXPECT_EQ(*send.get(), generation_);
}

// While it does not read there is room for so much; whoever waits then is the only one.
TEST_F(SpawnerClientTest, WhoWaitsUntilItReadsHoldsUpNobody) {
  ASSERT_EQ(::kill(client_->pid(), SIGSTOP), 0);
  Request drop;
  drop.op = Op::kDropBox;
  drop.id = 7;
  EXPECT_EQ(Fill(drop).code(), Code::kResourceExhausted);
  std::promise<pid_t> sender;
  auto send = std::async(std::launch::async, [&] {
    sender.set_value(static_cast<pid_t>(::syscall(SYS_gettid)));
    return client_->Send(generation_, drop, {}, {});
  });
  Await(SYS_poll, sender.get_future().get());
  auto others = std::async(std::launch::async, [&] {
    EXPECT_EQ(client_->SendNow(generation_, drop, {}, {}).code(), Code::kResourceExhausted);
    return client_->EnsureRunning();
  });
  EXPECT_EQ(others.wait_for(kPatience), std::future_status::ready);
  ASSERT_EQ(::kill(client_->pid(), SIGCONT), 0);
  EXPECT_TRUE(send.get().ok());
  EXPECT_EQ(*others.get(), generation_);
  EXPECT_TRUE(client_->Call(generation_, Box(1), {}, {}).ok()) << "nothing is broken by it";
  EXPECT_TRUE(client_->SendNow(generation_, drop, {}, {}).ok());
}

TEST_F(SpawnerClientTest, AnEndWhileSomebodyWaitsUntilItReadsIsUnavailable) {
  ASSERT_EQ(::kill(client_->pid(), SIGSTOP), 0);
  Request drop;
  drop.op = Op::kDropBox;
  EXPECT_EQ(Fill(drop).code(), Code::kResourceExhausted);
  std::promise<pid_t> sender;
  auto send = std::async(std::launch::async, [&] {
    sender.set_value(static_cast<pid_t>(::syscall(SYS_gettid)));
    return client_->Send(generation_, drop, {}, {});
  });
  Await(SYS_poll, sender.get_future().get());
  ASSERT_EQ(::kill(client_->pid(), SIGKILL), 0);
  EXPECT_EQ(send.get().code(), Code::kUnavailable);
  EXPECT_EQ(*client_->EnsureRunning(), generation_ + 1);
}

TEST_F(SpawnerClientTest, ItsErrorsAreItsOwnAndItServesOn) {
  ASSERT_TRUE(client_->Call(generation_, Box(1), {}, {}).ok());
  const auto twice = client_->Call(generation_, Box(1), {}, {});
  EXPECT_EQ(twice.status().code(), Code::kInternal);
  EXPECT_NE(twice.status().message().find("mkdir for the box"), std::string::npos);
  EXPECT_EQ(*client_->EnsureRunning(), generation_);
}

// Out of descriptors the spawner gets the request and not the socket for its answer: nobody is
// answered on the main one, where the next call waits for its own.
TEST_F(SpawnerClientTest, AnAnswerWhoseSocketGotLostIsNobodyElses) {
  constexpr rlim_t kAllTaken = 3;  // below its own
  rlimit usual{};
  ASSERT_EQ(::prlimit(client_->pid(), RLIMIT_NOFILE, nullptr, &usual), 0);
  const rlimit none{kAllTaken, usual.rlim_max};
  ASSERT_EQ(::prlimit(client_->pid(), RLIMIT_NOFILE, &none, nullptr), 0);
  auto sockets = MakeReplySockets();
  ASSERT_TRUE(sockets.ok());
  Request spare = Box(1);
  spare.flags = kReplyOnFd;
  const int fds[] = {sockets->theirs.get()};
  ASSERT_TRUE(client_->Send(generation_, spare, {}, fds).ok());
  sockets->theirs.reset();
  // Whoever waits for it need not wait long.
  EXPECT_EQ(ReceiveReply(sockets->ours.get()).status().code(), Code::kUnavailable);
  ASSERT_EQ(::prlimit(client_->pid(), RLIMIT_NOFILE, &usual, nullptr), 0);
  // It was not made; answers are those of their own calls.
  EXPECT_TRUE(client_->Call(generation_, Box(1), {}, {}).ok());
  EXPECT_FALSE(client_->Call(generation_, Box(1), {}, {}).ok());
  EXPECT_TRUE(client_->Call(generation_, Box(2), {}, {}).ok());
  EXPECT_EQ(*client_->EnsureRunning(), generation_);
}

TEST_F(SpawnerClientTest, ADeadOneIsUnavailableAndAnotherIsStarted) {
  ASSERT_EQ(::kill(client_->pid(), SIGKILL), 0);
  EXPECT_EQ(client_->Call(generation_, Box(1), {}, {}).status().code(), Code::kUnavailable);
  const auto next = client_->EnsureRunning();
  ASSERT_TRUE(next.ok()) << next.status().ToString();
  EXPECT_EQ(*next, generation_ + 1);
  EXPECT_EQ(client_->Call(generation_, Box(1), {}, {}).status().code(), Code::kUnavailable);
  EXPECT_TRUE(client_->Call(*next, Box(1), {}, {}).ok());
}

}  // namespace
}  // namespace envicutor::agent::native

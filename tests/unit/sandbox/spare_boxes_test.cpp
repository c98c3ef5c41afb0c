// Boxes made ahead, with a stand-in for the spawner that answers when it is told to.
#include "executor-agent/sandbox/native/spare_boxes.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

namespace envicutor::agent::native {
namespace {

constexpr unsigned kFirstUid = 1000;
constexpr unsigned kUids = 8;
constexpr std::chrono::seconds kPatience{20};

Request Size(uint64_t bytes) {
  Request request;
  request.op = Op::kMakeBox;
  request.disk_bytes = bytes;
  request.inodes = 4096;
  return request;
}

// Keeps the sockets that answers are to come on.
class Spawner {
 public:
  Status Send(uint64_t generation, const Request& request, std::span<const int> fds) {
    const std::lock_guard lock(mutex_);
    if (generation != generation_) return Unavailable("the spawner was restarted");
    if (!reads_) return ResourceExhausted("does not read now");
    if (request.op == Op::kDropBox) {
      dropped_.push_back(request.id);
    } else {
      EXPECT_EQ(fds.size(), 1U);
      asked_.push_back(request);
      replies_[request.id] = UniqueFd(::fcntl(fds.front(), F_DUPFD_CLOEXEC, 0));
    }
    return OkStatus();
  }
  // Send that waits until it reads.
  Status SendAndWait(uint64_t generation, const Request& request, std::span<const int> fds) {
    {
      std::unique_lock lock(mutex_);
      ++waiting_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return reads_; });
      --waiting_;
    }
    return Send(generation, request, fds);
  }
  void Read(bool reads) {
    const std::lock_guard lock(mutex_);
    reads_ = reads;
    changed_.notify_all();
  }
  void AwaitWaiting() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [this] { return waiting_ > 0; }));
  }
  // With /dev/null for the box's top folder unless that is lost, or with `error`.
  void Answer(uint64_t id, int error = 0, bool lost = false) {
    Reply reply;
    reply.error = error;
    // Not terminated: whoever reads it must not run on.
    if (error != 0) reply.what.fill('x');
    iovec data{&reply, sizeof(reply)};
    const UniqueFd top(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int number = top.get();
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> room{};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    if (error == 0 && !lost) {
      header.msg_control = room.data();
      header.msg_controllen = room.size();
      cmsghdr* part = CMSG_FIRSTHDR(&header);
      part->cmsg_level = SOL_SOCKET;
      part->cmsg_type = SCM_RIGHTS;
      part->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(part), &number, sizeof(number));
    }
    const std::lock_guard lock(mutex_);
    EXPECT_EQ(::sendmsg(replies_.at(id).get(), &header, MSG_NOSIGNAL),
              static_cast<ssize_t>(sizeof(reply)));
    replies_.erase(id);
  }
  void Die() {
    const std::lock_guard lock(mutex_);
    ++generation_;
    replies_.clear();
  }
  [[nodiscard]] std::vector<Request> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  [[nodiscard]] std::vector<uint64_t> dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
  }
  [[nodiscard]] uint64_t generation() const {
    const std::lock_guard lock(mutex_);
    return generation_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool reads_ = true;
  int waiting_ = 0;
  uint64_t generation_ = 1;
  std::vector<Request> asked_;
  std::vector<uint64_t> dropped_;
  std::map<uint64_t, UniqueFd> replies_;
};

class SpareBoxesTest : public ::testing::Test {
 protected:
  SpareBoxesTest() {
    for (unsigned i = 0; i < kUids; ++i) free_.insert(kFirstUid + i);
  }
  [[nodiscard]] size_t free_uids() const {
    const std::lock_guard lock(mutex_);
    return free_.size();
  }

  mutable std::mutex mutex_;
  std::set<unsigned> free_;
  uint64_t next_id_ = 1;
  Spawner spawner_;
  SpareBoxes spares_{[this](uint64_t generation, const Request& request, std::span<const int> fds) {
                       return spawner_.SendAndWait(generation, request, fds);
                     },
                     [this](uint64_t generation, const Request& request, std::span<const int> fds) {
                       return spawner_.Send(generation, request, fds);
                     },
                     2,
                     [this](Request* request) {
                       const std::lock_guard lock(mutex_);
                       if (free_.empty()) return ResourceExhausted("no user");
                       request->uid = *free_.begin();
                       free_.erase(free_.begin());
                       request->id = next_id_++;
                       return OkStatus();
                     },
                     [this](unsigned uid) {
                       const std::lock_guard lock(mutex_);
                       EXPECT_TRUE(free_.insert(uid).second) << uid << " is given back twice";
                     }};
};

TEST_F(SpareBoxesTest, OneIsTakenOnceByWhoWantsItsSize) {
  spares_.Refill(1, Size(100));
  ASSERT_EQ(spawner_.asked().size(), 1U);
  spawner_.Answer(1);
  EXPECT_FALSE(spares_.Take(1, Size(200)));
  const auto box = spares_.Take(1, Size(100));
  ASSERT_TRUE(box);
  EXPECT_EQ(box->id, 1U);
  EXPECT_EQ(box->uid, spawner_.asked().front().uid);
  EXPECT_TRUE(box->top.valid());
  EXPECT_FALSE(spares_.Take(1, Size(100)));
  EXPECT_EQ(free_uids(), kUids - 1) << "the user is the taker's";
  EXPECT_TRUE(spawner_.dropped().empty());
}

// One slot's box is late; another slot goes on.
TEST_F(SpareBoxesTest, NobodyWaitsForAnothersAnswer) {
  spares_.Refill(1, Size(100));
  spares_.Refill(1, Size(200));
  spawner_.Answer(2);
  auto late = std::async(std::launch::async, [&] { return spares_.Take(1, Size(100)); });
  auto other = std::async(std::launch::async, [&] {
    // There is room for one more as soon as the late one is being waited for.
    while (spawner_.asked().size() < 3) {
      spares_.Refill(1, Size(300));
      std::this_thread::yield();
    }
    return spares_.Take(1, Size(200));
  });
  const bool went_on = other.wait_for(kPatience) == std::future_status::ready;
  EXPECT_TRUE(went_on) << "waits for the answer to another";
  spawner_.Answer(1);
  const auto box = other.get();
  ASSERT_TRUE(box);
  EXPECT_EQ(box->id, 2U);
  const auto first = late.get();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->id, 1U);
}

TEST_F(SpareBoxesTest, KeepsAsManyAsItMayAndTheSizesThatAreWanted) {
  for (int i = 0; i < 5; ++i) spares_.Refill(1, Size(100));
  EXPECT_EQ(spawner_.asked().size(), 2U);
  // Nobody wants the old size any more: it makes room, one by one.
  EXPECT_FALSE(spares_.Take(1, Size(200)));
  EXPECT_EQ(spawner_.dropped(), std::vector<uint64_t>{1});
  EXPECT_EQ(free_uids(), kUids - 1);
  spares_.Refill(1, Size(200));
  spawner_.Answer(3);
  EXPECT_TRUE(spares_.Take(1, Size(200)));
}

TEST_F(SpareBoxesTest, WhatCannotBeMadeIsDroppedAndItsUserFreeAgain) {
  spares_.Refill(1, Size(100));
  spawner_.Answer(1, ENOSPC);
  EXPECT_FALSE(spares_.Take(1, Size(100)));
  EXPECT_EQ(spawner_.dropped(), std::vector<uint64_t>{1});
  EXPECT_EQ(free_uids(), kUids);
}

// The agent had no descriptor free when the answer came.
TEST_F(SpareBoxesTest, ABoxWhoseFolderGotLostIsDropped) {
  spares_.Refill(1, Size(100));
  spawner_.Answer(1, 0, /*lost=*/true);
  EXPECT_FALSE(spares_.Take(1, Size(100)));
  EXPECT_EQ(spawner_.dropped(), std::vector<uint64_t>{1});
  EXPECT_EQ(free_uids(), kUids);
}

TEST_F(SpareBoxesTest, OneIsGivenUpForItsUser) {
  EXPECT_FALSE(spares_.DropOne());
  spares_.Refill(1, Size(100));
  EXPECT_TRUE(spares_.DropOne());
  EXPECT_FALSE(spares_.DropOne());
  EXPECT_EQ(spawner_.dropped(), std::vector<uint64_t>{1});
  EXPECT_EQ(free_uids(), kUids);
}

// Whoever asks for one has a program to watch.
TEST_F(SpareBoxesTest, OneThatCannotBeAskedForNowIsNotWaitedFor) {
  spawner_.Read(false);
  spares_.Refill(1, Size(100));
  EXPECT_EQ(free_uids(), kUids);
  spawner_.Read(true);
  EXPECT_FALSE(spares_.Take(1, Size(100)));
  spares_.Refill(1, Size(100));
  EXPECT_EQ(spawner_.asked().size(), 1U);
}

// Who drops one waits until the spawner reads; nobody else does.
TEST_F(SpareBoxesTest, WhoDropsOneHoldsUpNobody) {
  const auto take_of_another_size = [this] { return spares_.Take(1, Size(200)).has_value(); };
  const auto drop_one = [this] { return spares_.DropOne(); };
  for (const std::function<bool()>& drops :
       {std::function(take_of_another_size), std::function(drop_one)}) {
    spares_.Refill(1, Size(100));
    spares_.Refill(1, Size(100));
    spawner_.Answer(spawner_.asked().back().id);
    spawner_.Read(false);
    auto dropped = std::async(std::launch::async, drops);
    spawner_.AwaitWaiting();
    auto other = std::async(std::launch::async, [this] {
      spares_.Refill(1, Size(100));
      return spares_.Take(1, Size(100)).has_value();
    });
    EXPECT_EQ(other.wait_for(kPatience), std::future_status::ready);
    spawner_.Read(true);
    EXPECT_TRUE(other.get());
    dropped.get();
  }
  EXPECT_EQ(spawner_.dropped().size(), 2U);
  EXPECT_EQ(free_uids(), kUids - 2) << "the takers'";
}

TEST_F(SpareBoxesTest, WithoutAUserNoneIsAskedFor) {
  {
    const std::lock_guard lock(mutex_);
    free_.clear();
  }
  spares_.Refill(1, Size(100));
  EXPECT_TRUE(spawner_.asked().empty());
}

TEST_F(SpareBoxesTest, TheSpawnersDeathEndsTheWait) {
  spares_.Refill(1, Size(100));
  auto taken = std::async(std::launch::async, [&] { return spares_.Take(1, Size(100)); });
  spawner_.Die();
  EXPECT_FALSE(taken.get());
  EXPECT_EQ(free_uids(), kUids);
}

TEST_F(SpareBoxesTest, BoxesOfADeadSpawnerAreGone) {
  spares_.Refill(1, Size(100));
  spares_.Refill(1, Size(100));
  spawner_.Die();
  spares_.Refill(1, Size(100));  // does not know yet
  EXPECT_FALSE(spares_.Take(2, Size(100)));
  EXPECT_EQ(free_uids(), kUids) << "their users are free";
  spares_.Refill(2, Size(100));
  spawner_.Answer(3);
  // Who still means the old spawner neither gets nor loses the new one's.
  EXPECT_FALSE(spares_.Take(1, Size(100)));
  spares_.Refill(1, Size(100));
  EXPECT_EQ(free_uids(), kUids - 1);
  EXPECT_TRUE(spares_.Take(2, Size(100)));
}

}  // namespace
}  // namespace envicutor::agent::native

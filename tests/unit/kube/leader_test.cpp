#include "common/kube/leader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "common/metrics/registry.h"
#include "tests/unit/kube/scripted_api.h"

namespace envicutor::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// One candidate in a thread of its own. Its clock is fake; it looks at the lease every few
// milliseconds of real time, so that a moved clock is noticed.
class Candidate {
 public:
  Candidate(ScriptedApi& api, const Clock& clock, const std::string& identity,
            metrics::Registry* registry = nullptr)
      : client_(api.NewClient()) {
    LeaderOptions options;
    options.ns = "ns";
    options.lease_name = "envicutor-operator";
    options.identity = identity;
    options.retry_period = milliseconds(2);
    options.registry = registry;
    thread_ = std::jthread([this, &clock, options](const std::stop_token& stop) {
      const Status status = RunLeaderElection(
          *client_, clock, options, [this] { Set(&leading_, true); }, [this] { Set(&lost_, true); },
          stop);
      const std::scoped_lock lock(mutex_);
      result_ = status;
      leading_ = false;
      ended_ = true;
      changed_.notify_all();
    });
  }

  bool WaitLeading() { return Wait(&leading_); }
  bool WaitLost() { return Wait(&lost_); }
  bool WaitEnded() { return Wait(&ended_); }
  bool leading() { return Get(&leading_); }
  bool lost() { return Get(&lost_); }
  Status result() {
    const std::scoped_lock lock(mutex_);
    return result_;
  }
  void Stop() {
    thread_.request_stop();
    thread_.join();
  }

 private:
  void Set(bool* flag, bool value) {
    const std::scoped_lock lock(mutex_);
    *flag = value;
    changed_.notify_all();
  }
  bool Get(const bool* flag) {
    const std::scoped_lock lock(mutex_);
    return *flag;
  }
  bool Wait(const bool* flag) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(10), [&] { return *flag; });
  }

  std::unique_ptr<Client> client_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool leading_ = false;
  bool lost_ = false;
  bool ended_ = false;
  Status result_;
  std::jthread thread_;
};

class LeaderElection : public testing::Test {
 protected:
  std::string Holder() {
    return GetString(At(api_.Stored("envicutor-operator"), {"spec"}), "holderIdentity");
  }
  ScriptedApi api_;
  FakeClock clock_;
};

TEST_F(LeaderElection, OneOfTwoLeadsAndTheOtherTakesOverAtOnceWhenItStops) {
  Candidate first(api_, clock_, "first");
  ASSERT_TRUE(first.WaitLeading());
  Candidate second(api_, clock_, "second");
  ASSERT_TRUE(api_.WaitFor("get", api_.Count("get") + 20));
  EXPECT_FALSE(second.leading());
  EXPECT_EQ("first", Holder());
  first.Stop();
  EXPECT_TRUE(first.result().ok()) << first.result().ToString();
  ASSERT_TRUE(second.WaitLeading()) << "the lease was released: no waiting for its expiry";
  EXPECT_EQ("second", Holder());
  const Json lease = api_.Stored("envicutor-operator");
  EXPECT_EQ(1, GetInt(At(lease, {"spec"}), "leaseTransitions"));
  EXPECT_TRUE(ParseRfc3339(GetString(At(lease, {"spec"}), "renewTime")).ok());
}

TEST_F(LeaderElection, LeaseOfADeadHolderIsTakenOnlyAfterItsTimeByOurClock) {
  // The holder's own clock is years ahead: what counts is how long we saw no change.
  api_.Put("envicutor-operator", {{"holderIdentity", "dead"},
                                  {"leaseDurationSeconds", 15},
                                  {"acquireTime", "2031-01-01T00:00:00.000000Z"},
                                  {"renewTime", "2031-01-01T00:00:00.000000Z"},
                                  {"leaseTransitions", 4}});
  Candidate candidate(api_, clock_, "me");
  ASSERT_TRUE(api_.WaitFor("get", 3));
  clock_.Advance(seconds(14));
  ASSERT_TRUE(api_.WaitFor("get", api_.Count("get") + 3));
  EXPECT_EQ("dead", Holder());
  clock_.Advance(seconds(1));
  ASSERT_TRUE(candidate.WaitLeading());
  EXPECT_EQ(5, GetInt(At(api_.Stored("envicutor-operator"), {"spec"}), "leaseTransitions"));
}

TEST_F(LeaderElection, LeaderThatCannotRenewStopsBeforeTheLeaseEnds) {
  metrics::Registry registry;
  Candidate leader(api_, clock_, "me", &registry);
  ASSERT_TRUE(leader.WaitLeading());
  EXPECT_NE(std::string::npos,
            registry.Render().find("leader_election_master_status{name=\"envicutor-operator\"} 1"));
  api_.Stop();
  clock_.Advance(seconds(9));
  EXPECT_FALSE(leader.lost());
  clock_.Advance(seconds(2));  // past the renew deadline of 10 s, before the lease's 15 s
  ASSERT_TRUE(leader.WaitLost());
  ASSERT_TRUE(leader.WaitEnded());
  EXPECT_EQ(Code::kFailedPrecondition, leader.result().code());
  EXPECT_NE(std::string::npos,
            registry.Render().find("leader_election_master_status{name=\"envicutor-operator\"} 0"));
}

TEST_F(LeaderElection, LeaderWhoseLeaseWasTakenStops) {
  Candidate leader(api_, clock_, "me");
  ASSERT_TRUE(leader.WaitLeading());
  api_.Put("envicutor-operator", {{"holderIdentity", "usurper"},
                                  {"leaseDurationSeconds", 3600},
                                  {"renewTime", "2026-01-01T00:00:00.000000Z"}});
  ASSERT_TRUE(api_.WaitFor("get", api_.Count("get") + 3));
  clock_.Advance(seconds(11));
  ASSERT_TRUE(leader.WaitLost());
  EXPECT_EQ("usurper", Holder()) << "a lost lease is not released";
}

TEST_F(LeaderElection, StopWhileWaitingToLead) {
  api_.Put("envicutor-operator", {{"holderIdentity", "other"}, {"leaseDurationSeconds", 3600}});
  Candidate candidate(api_, clock_, "me");
  ASSERT_TRUE(api_.WaitFor("get", 2));
  candidate.Stop();
  EXPECT_TRUE(candidate.result().ok());
  EXPECT_EQ("other", Holder());
}

}  // namespace
}  // namespace envicutor::kube

#include "executor-agent/server/result_log.h"

#include <gtest/gtest.h>

#include <future>

#include "common/base/json.h"

namespace envicutor::agent {
namespace {

constexpr Duration kLong = std::chrono::hours(1);

class ResultLogTest : public ::testing::Test {
 protected:
  // Answered at once or in the future.
  std::future<Json> Poll(uint64_t after, size_t limit = 100, Duration timeout = kLong) {
    auto promise = std::make_shared<std::promise<Json>>();
    last_poll_ = log_.Poll(after, limit, timeout, [promise](const std::string& body) {
      promise->set_value(Json::parse(body));
    });
    return promise->get_future();
  }
  Json Now(uint64_t after, size_t limit = 100) {
    return Poll(after, limit, Duration::zero()).get();
  }
  static bool Waits(const std::future<Json>& answer) {
    return answer.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
  }

  SystemClock clock_;
  Timers timers_{clock_};
  ResultLog log_{"instance-1", clock_, timers_, Duration::zero()};
  uint64_t last_poll_ = 0;
};

TEST_F(ResultLogTest, AfterZeroGivesEverythingThatIsNotAcknowledged) {
  log_.AddResult({"a", 1}, R"({"uid":"a"})");
  log_.AddResult({"b", 1}, R"({"uid":"b"})");
  const Json first = Now(0);
  EXPECT_EQ(first["instance"], "instance-1");
  EXPECT_EQ(first["results"], Json::parse(R"([{"uid":"a"},{"uid":"b"}])"));
  const auto next = first["next"].get<uint64_t>();
  EXPECT_TRUE(Now(next)["results"].empty());
  EXPECT_EQ(Now(0)["results"].size(), 2U);  // until acknowledged
  log_.Remove({"a", 1});
  EXPECT_EQ(Now(0)["results"], Json::parse(R"([{"uid":"b"}])"));
  EXPECT_EQ(log_.size(), 1U);
}

TEST_F(ResultLogTest, APollWaitsForTheNextResult) {
  log_.AddResult({"a", 1}, R"({"uid":"a"})");
  const auto next = Now(0)["next"].get<uint64_t>();
  auto answer = Poll(next);
  EXPECT_TRUE(Waits(answer));
  log_.AddResult({"b", 1}, R"({"uid":"b"})");
  EXPECT_EQ(answer.get()["results"], Json::parse(R"([{"uid":"b"}])"));
}

TEST_F(ResultLogTest, APollEndsAtItsTimeout) {
  const auto next = Now(0)["next"].get<uint64_t>();
  const Json answer = Poll(next, 100, std::chrono::milliseconds(5)).get();
  EXPECT_TRUE(answer["results"].empty());
  EXPECT_EQ(answer["next"], next);
}

TEST_F(ResultLogTest, PagesThroughMoreThanTheLimit) {
  for (int i = 0; i < 5; ++i) log_.AddResult({std::to_string(i), 1}, std::to_string(i));
  uint64_t after = 0;
  std::vector<int> seen;
  for (int page = 0; page < 3; ++page) {
    const Json answer = Now(after, 2);
    for (const Json& result : answer["results"]) seen.push_back(result.get<int>());
    after = answer["next"].get<uint64_t>();
  }
  EXPECT_EQ(seen, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST_F(ResultLogTest, ANumberFromAnotherProcessIsAnsweredAtOnce) {
  log_.AddResult({"a", 1}, "1");
  // Of a predecessor, whose numbers were lower, and of nobody.
  EXPECT_EQ(Poll(12345).get()["results"].size(), 1U);
  EXPECT_EQ(Poll(uint64_t{1} << 60).get()["results"].size(), 1U);
}

TEST_F(ResultLogTest, ProgressIsToldUntilTheResultIsThere) {
  const auto start = Now(0)["next"].get<uint64_t>();
  auto answer = Poll(start);
  log_.SetProgress({"a", 2}, "compile");
  const Json told = answer.get();
  EXPECT_EQ(told["progress"], Json::parse(R"([{"uid":"a","attempt":2,"stage":"compile"}])"));
  EXPECT_TRUE(Now(told["next"].get<uint64_t>())["progress"].empty());
  log_.SetProgress({"a", 2}, "run");
  EXPECT_EQ(Now(0)["progress"][0]["stage"], "run");
  log_.AddResult({"a", 2}, "1");
  EXPECT_TRUE(Now(0)["progress"].empty());
}

TEST_F(ResultLogTest, ShortStagesAreNotTold) {
  ResultLog quiet("i", clock_, timers_, kLong);
  quiet.SetProgress({"a", 1}, "run");
  Json body;
  static_cast<void>(quiet.Poll(0, 10, Duration::zero(),
                               [&](const std::string& text) { body = Json::parse(text); }));
  EXPECT_TRUE(body["progress"].empty());
  timers_.Stop();  // its callbacks know `quiet`
}

TEST_F(ResultLogTest, AnAbandonedPollIsNotAnswered) {
  auto answer = Poll(0);
  log_.Abandon(last_poll_);
  log_.AddResult({"a", 1}, "1");
  EXPECT_THROW(answer.get(), std::future_error);  // its callback is gone, uncalled
}

TEST_F(ResultLogTest, TheOldestOfTooManyPollsIsAnswered) {
  std::vector<std::future<Json>> answers;
  for (int i = 0; i < 65; ++i) answers.push_back(Poll(0));
  EXPECT_FALSE(Waits(answers[0]));
  EXPECT_TRUE(Waits(answers[1]));
  log_.AnswerAll();
  for (auto& answer : answers) EXPECT_TRUE(answer.get()["results"].empty());
}

}  // namespace
}  // namespace envicutor::agent

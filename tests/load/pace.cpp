#include "tests/load/pace.h"

#include <mutex>
#include <random>
#include <thread>
#include <vector>

namespace envicutor::load {
namespace {

// The same arrivals in every run: two runs of one command differ by the system alone.
constexpr uint64_t kSeed = 20'251'125;

class Schedule {
 public:
  explicit Schedule(const Amount& amount)
      : amount_(amount), start_(std::chrono::steady_clock::now()), random_(kSeed) {}

  // The next job and when it is due; false: no more.
  bool Next(int64_t* i, SteadyTime* due) {
    const std::lock_guard lock(mutex_);
    if (!failure_.ok() || next_ == amount_.count) return false;
    const SteadyTime now = std::chrono::steady_clock::now();
    if (now - start_ > std::chrono::duration<double>(amount_.seconds)) {
      failure_ = Status(Code::kDeadlineExceeded, "gave up after " + std::to_string(next_) + " of " +
                                                     std::to_string(amount_.count) +
                                                     ": --timeout is over");
      return false;
    }
    *i = next_++;
    if (amount_.rate <= 0) {
      *due = now;
    } else {
      arrival_ += std::exponential_distribution<>(amount_.rate)(random_);
      *due = start_ + std::chrono::duration_cast<Duration>(std::chrono::duration<double>(arrival_));
    }
    return true;
  }

  void Fail(const Status& status) {
    const std::lock_guard lock(mutex_);
    if (failure_.ok()) failure_ = status;
  }
  Status failure() {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

 private:
  const Amount amount_;
  const SteadyTime start_;
  std::mutex mutex_;
  std::mt19937_64 random_;
  int64_t next_ = 0;
  double arrival_ = 0;
  Status failure_;
};

}  // namespace

Status RunPaced(const Amount& amount, const std::function<Status(int64_t i, SteadyTime due)>& job) {
  Schedule schedule(amount);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < amount.concurrency; ++t) {
      threads.emplace_back([&] {
        int64_t i = 0;
        SteadyTime due;
        while (schedule.Next(&i, &due)) {
          std::this_thread::sleep_until(due);
          const Status done = job(i, due);
          if (!done.ok()) schedule.Fail(done);
        }
      });
    }
  }
  return schedule.failure();
}

}  // namespace envicutor::load

// Follows Submissions with one watch, as a user's client does, and knows when each has ended.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "common/base/clock.h"
#include "common/kube/client.h"

namespace envicutor::load {

struct End {
  SteadyTime seen;
  std::string phase;
  std::string verdict;
  int64_t queue_millis = 0;
  int64_t overhead_millis = 0;
  int changes = 0;  // events after the first: writes to it by others than its creator
};

// Thread-safe.
class Ends {
 public:
  // Watches `ns` for what `selector` matches, from now on. The client must outlive it.
  [[nodiscard]] Status Start(kube::Client& client, const std::string& ns,
                             const std::string& selector);
  // Waits until `name` has ended, one thread for one name. DeadlineExceeded at `deadline`, or why
  // the watch ended.
  [[nodiscard]] Result<End> Wait(const std::string& name, SteadyTime deadline);
  [[nodiscard]] Status WaitForAll(size_t count, SteadyTime deadline);
  [[nodiscard]] std::unordered_map<std::string, End> Take();

 private:
  void Run(kube::Client& client, const std::string& ns, kube::WatchOptions options,
           std::stop_token stop);
  void OnEvent(const kube::WatchEvent& event);

  std::mutex mutex_;
  std::condition_variable changed_;  // of WaitForAll
  // Each thread is woken by the end that it waits for, and by no other.
  std::unordered_map<std::string, std::condition_variable*> waiting_;
  std::unordered_map<std::string, int> changes_;  // of those that have not ended
  std::unordered_map<std::string, End> ends_;
  Status status_;
  std::jthread thread_;
};

}  // namespace envicutor::load

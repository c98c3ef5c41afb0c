#include "common/http/connection_pool.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace envicutor::http {

using Steady = std::chrono::steady_clock;

std::unique_ptr<Connection> ConnectionPool::Take() {
  std::vector<Idle> dropped;  // closed without the lock
  for (;;) {
    std::unique_ptr<Connection> newest;
    {
      const std::scoped_lock lock(mutex_);
      const Steady::time_point too_old = Steady::now() - kMaxIdleTime;
      const auto young = std::find_if(idle_.begin(), idle_.end(),
                                      [&](const Idle& idle) { return idle.since > too_old; });
      std::move(idle_.begin(), young, std::back_inserter(dropped));
      idle_.erase(idle_.begin(), young);
      if (idle_.empty()) return nullptr;
      newest = std::move(idle_.back().connection);
      idle_.pop_back();
    }
    if (!newest->IsStale()) return newest;
  }
}

void ConnectionPool::Give(std::unique_ptr<Connection> connection) {
  std::unique_ptr<Connection> oldest;  // closed without the lock
  const std::scoped_lock lock(mutex_);
  if (idle_.size() >= kMaxIdle) {
    oldest = std::move(idle_.front().connection);
    idle_.erase(idle_.begin());
  }
  idle_.push_back({std::move(connection), Steady::now()});
}

}  // namespace envicutor::http

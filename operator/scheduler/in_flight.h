// How many runs each namespace has on executors, over all pools, and how many it may have. No I/O,
// not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

namespace envicutor::op {

struct InFlightLimits {
  int64_t each = 0;                          // of every namespace; 0: no bound
  std::map<std::string, int64_t> overrides;  // of single ones; 0: no bound
  friend bool operator==(const InFlightLimits&, const InFlightLimits&) = default;
};

class InFlight {
 public:
  void SetLimits(InFlightLimits limits) { limits_ = std::move(limits); }

  // 0: no bound.
  [[nodiscard]] int64_t LimitOf(const std::string& ns) const {
    const auto it = limits_.overrides.find(ns);
    return it == limits_.overrides.end() ? limits_.each : it->second;
  }
  [[nodiscard]] int64_t CountOf(const std::string& ns) const {
    const auto it = counts_.find(ns);
    return it == counts_.end() ? 0 : it->second;
  }
  [[nodiscard]] bool Full(const std::string& ns) const {
    const int64_t limit = LimitOf(ns);
    return limit > 0 && CountOf(ns) >= limit;
  }

  void Start(const std::string& ns) { ++counts_[ns]; }
  // True when the namespace was full and is not any more: its runs may be released.
  bool End(const std::string& ns) {
    const auto it = counts_.find(ns);
    if (it == counts_.end()) return false;
    const bool was_full = Full(ns);
    if (--it->second == 0) counts_.erase(it);
    return was_full && !Full(ns);
  }

 private:
  InFlightLimits limits_;
  std::unordered_map<std::string, int64_t> counts_;
};

}  // namespace envicutor::op

// The command line of envicutor-load.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/base/status.h"

namespace envicutor::load {

// --name value pairs, and what comes after "--".
class Flags {
 public:
  // InvalidArgument: a flag that is not in `known`, or without its value.
  [[nodiscard]] static Result<Flags> Parse(const std::vector<std::string>& argv,
                                           const std::vector<std::string>& known);
  [[nodiscard]] std::string Text(const std::string& name, std::string fallback = "") const;
  // InvalidArgument: not a number from `least` to `most`.
  [[nodiscard]] Result<double> Number(const std::string& name, double fallback, double least,
                                      double most) const;
  [[nodiscard]] const std::vector<std::string>& rest() const { return rest_; }

 private:
  std::map<std::string, std::string> values_;
  std::vector<std::string> rest_;
};

// How much load, for all commands. Everything is bounded.
struct Amount {
  int64_t count = 1000;
  int concurrency = 8;   // closed loop: as many at a time; open loop: connections
  double rate = 0;       // open loop: arrivals a second on average (Poisson); 0: closed loop
  double seconds = 300;  // then it gives up
};
[[nodiscard]] Result<Amount> AmountFrom(const Flags& flags);

}  // namespace envicutor::load

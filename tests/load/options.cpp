#include "tests/load/options.h"

#include <algorithm>
#include <cstdlib>

namespace envicutor::load {

Result<Flags> Flags::Parse(const std::vector<std::string>& argv,
                           const std::vector<std::string>& known) {
  Flags flags;
  for (size_t i = 0; i < argv.size(); ++i) {
    if (argv[i] == "--") {
      flags.rest_.assign(argv.begin() + static_cast<std::ptrdiff_t>(i) + 1, argv.end());
      break;
    }
    const std::string name = argv[i].starts_with("--") ? argv[i].substr(2) : "";
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return InvalidArgument("unknown flag \"" + argv[i] + "\"");
    }
    if (++i == argv.size()) return InvalidArgument("--" + name + " needs a value");
    flags.values_[name] = argv[i];
  }
  return flags;
}

std::string Flags::Text(const std::string& name, std::string fallback) const {
  const auto it = values_.find(name);
  return it == values_.end() ? std::move(fallback) : it->second;
}

Result<double> Flags::Number(const std::string& name, double fallback, double least,
                             double most) const {
  const auto it = values_.find(name);
  if (it == values_.end()) return fallback;
  char* end = nullptr;
  const double value = std::strtod(it->second.c_str(), &end);
  if (it->second.empty() || *end != '\0' || !(value >= least && value <= most)) {
    return InvalidArgument("--" + name + ": \"" + it->second + "\" is not from " +
                           std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
}

Result<Amount> AmountFrom(const Flags& flags) {
  Amount amount;
  ENVICUTOR_ASSIGN(const double count, flags.Number("count", 1000, 1, 10'000'000));
  ENVICUTOR_ASSIGN(const double concurrency, flags.Number("concurrency", 8, 1, 256));
  ENVICUTOR_ASSIGN(amount.rate, flags.Number("rate", 0, 0, 100'000));
  ENVICUTOR_ASSIGN(amount.seconds, flags.Number("timeout", 300, 1, 86'400));
  amount.count = static_cast<int64_t>(count);
  amount.concurrency = static_cast<int>(concurrency);
  return amount;
}

}  // namespace envicutor::load

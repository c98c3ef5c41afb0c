#include "tests/load/figures.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace envicutor::load {
namespace {

double AtRank(const std::vector<double>& sorted, double share) {
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

void AddLines(const Json& value, const std::string& path,
              std::vector<std::pair<std::string, std::string>>* lines) {
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) {
      AddLines(member, path.empty() ? key : path + "." + key, lines);
    }
    return;
  }
  lines->emplace_back(path, value.is_string() ? value.get<std::string>() : DumpJson(value));
}

}  // namespace

double MillisOf(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

double Rounded(double value) { return std::round(value * 1000) / 1000; }

Json Summary(std::vector<double> values) {
  if (values.empty()) return {{"count", 0}};
  std::sort(values.begin(), values.end());
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {{"count", values.size()},
          {"mean", Rounded(sum / static_cast<double>(values.size()))},
          {"p50", Rounded(AtRank(values, 0.5))},
          {"p90", Rounded(AtRank(values, 0.9))},
          {"p99", Rounded(AtRank(values, 0.99))},
          {"max", Rounded(values.back())}};
}

std::string ReportTable(const Json& report) {
  std::vector<std::pair<std::string, std::string>> lines;
  AddLines(report, "", &lines);
  size_t width = 0;
  for (const auto& [path, value] : lines) width = std::max(width, path.size());
  std::string text;
  for (const auto& [path, value] : lines) {
    text += path + std::string(width + 2 - path.size(), ' ') + value + '\n';
  }
  return text;
}

}  // namespace envicutor::load

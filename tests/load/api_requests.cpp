#include "tests/load/api_requests.h"

#include <cstdlib>

#include "tests/load/figures.h"

namespace envicutor::load {
namespace {

constexpr std::string_view kMetric = "apiserver_request_total{";

std::string Label(const std::string& labels, const std::string& name) {
  const std::string start = name + "=\"";
  for (size_t at = labels.find(start); at != std::string::npos; at = labels.find(start, at + 1)) {
    if (at > 0 && labels[at - 1] != ',' && labels[at - 1] != '{') continue;  // another's end
    const size_t from = at + start.size();
    return labels.substr(from, labels.find('"', from) - from);
  }
  return "";
}

}  // namespace

ApiRequests ParseApiRequests(const std::string& metrics_text) {
  ApiRequests requests;
  size_t start = 0;
  while (start < metrics_text.size()) {
    const size_t end = std::min(metrics_text.find('\n', start), metrics_text.size());
    const std::string line = metrics_text.substr(start, end - start);
    start = end + 1;
    const size_t close = line.rfind('}');
    if (!line.starts_with(kMetric) || close == std::string::npos) continue;
    const std::string labels = line.substr(kMetric.size() - 1, close - kMetric.size() + 1);
    // The embedded API server writes "submissions/status", a kube-apiserver two labels.
    std::string resource = Label(labels, "resource");
    if (!resource.starts_with("submissions")) continue;
    if (const std::string sub = Label(labels, "subresource"); !sub.empty()) resource += "/" + sub;
    std::string verb = Label(labels, "verb");
    if (verb == "WATCH" || verb == "LIST") continue;  // long-lived, not of one submission
    if (verb == "CREATE") verb = "POST";
    requests[verb + " " + resource] += std::strtod(line.c_str() + close + 1, nullptr);
  }
  return requests;
}

Result<ApiRequests> ReadApiRequests(kube::Client& client) {
  ENVICUTOR_ASSIGN(const std::string text, client.GetRaw("/metrics"));
  return ParseApiRequests(text);
}

Json RequestsEach(const ApiRequests& before, const ApiRequests& after, int64_t submissions) {
  Json each = Json::object();
  for (const auto& [what, count] : after) {
    const auto was = before.find(what);
    const double more = count - (was == before.end() ? 0 : was->second);
    if (more > 0) each[what] = Rounded(more / static_cast<double>(submissions));
  }
  return each;
}

}  // namespace envicutor::load

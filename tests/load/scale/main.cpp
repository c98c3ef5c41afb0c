// The operator's dispatching at the size of a large cluster: the real DispatchCore with a virtual
// clock and executors that answer at once. Prints what one submission costs in CPU and memory.
//
//   dispatch_scale [EXECUTORS [SUBMISSIONS [SLOTS [NAMESPACES]]]]     1000 1000000 4 100
//
// What it leaves out is what an API server and HTTP cost: tests/load measures those.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "operator/dispatch/dispatch_core.h"

namespace {

using envicutor::Duration;
using envicutor::OkStatus;
using envicutor::Result;
using envicutor::SteadyTime;
using namespace envicutor::op;  // NOLINT(google-build-using-namespace): the subject of this program

constexpr int64_t kMi = 1 << 20;
// So many wait at any time: the queue is never empty and never full.
constexpr int64_t kBacklog = 20'000;

struct End {
  SteadyTime at;
  std::string agent;
  RunKey key;
  bool operator<(const End& other) const { return at > other.at; }  // the earliest on top
};

double CpuSeconds() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

int64_t PeakBytes() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  return use.ru_maxrss * 1024;
}

class Scale {
 public:
  Scale(int64_t executors, int64_t submissions, int64_t slots, int64_t namespaces)
      : core_(Options()), submissions_(submissions), namespaces_(namespaces) {
    Effects effects;
    for (int64_t i = 0; i < executors; ++i) {
      const std::string name = "executor-default-" + std::to_string(i);
      core_.AgentFound(name, "default", "node-" + std::to_string(i), false, now_, &effects);
      envicutor::api::AgentInfo info;
      info.instance = "i";
      info.slots = slots;
      info.memory_bytes = slots * 512 * kMi;
      core_.AgentConnected(name, info, {"i", {}}, now_, now_, &effects);
    }
    core_.AgentsListed(now_, &effects);
    Carry(effects);
  }

  void Run() {
    while (done_ < submissions_) {
      while (submitted_ < submissions_ && submitted_ - done_ < kBacklog) Submit();
      Advance();
    }
  }

  [[nodiscard]] int64_t acks() const { return acks_; }
  [[nodiscard]] size_t left() const { return core_.run_count(); }

 private:
  static DispatchOptions Options() {
    DispatchOptions options;
    options.ack_delay = std::chrono::milliseconds(25);
    return options;
  }

  void Submit() {
    envicutor::api::RunRequest request;
    request.uid = "00000000-0000-4000-8000-" + std::to_string(100'000'000'000 + submitted_);
    request.ns = "team-" + std::to_string(submitted_ % namespaces_);
    request.run.script = "exec bash main.sh";
    request.memory_bytes = 256 * kMi;
    RunEvents events;
    events.acknowledge_on_done = false;
    events.on_done = [this, uid = request.uid](const Result<envicutor::api::RunResult>& result,
                                               const RunPlacement&) {
      if (!result.ok()) {
        std::fprintf(stderr, "%s: %s\n", uid.c_str(), result.status().ToString().c_str());
        std::exit(1);
      }
      ++done_;
      finished_.push_back(uid);
    };
    ++submitted_;
    Effects effects;
    const std::string ns = request.ns;
    core_.Submit("default", ns, 0, std::move(request), std::move(events), now_, &effects);
    Carry(effects);
  }

  // To the next result, or to what the core wants to do next.
  void Advance() {
    const std::optional<SteadyTime> due = core_.NextDue();
    if (!ends_.empty() && (!due.has_value() || ends_.top().at <= *due)) {
      const End end = ends_.top();
      ends_.pop();
      now_ = std::max(now_, end.at);
      ResultsPage page;
      page.instance = "i";
      envicutor::api::RunResult result;
      result.uid = end.key.uid;
      result.attempt = end.key.attempt;
      result.verdict = envicutor::api::Verdict::kAccepted;
      page.results.push_back(std::move(result));
      Effects effects;
      core_.AgentPolled(end.agent, std::move(page), now_, &effects);
      Carry(effects);
    } else {
      now_ = std::max(now_, due.value_or(now_ + std::chrono::milliseconds(1)));
      Effects effects;
      core_.Tick(now_, &effects);
      Carry(effects);
    }
    std::vector<std::string> finished;
    finished.swap(finished_);
    for (const std::string& uid : finished) {  // recorded
      Effects effects;
      core_.Acknowledge(uid, now_, &effects);
      Carry(effects);
    }
  }

  void Carry(const Effects& effects) {
    for (const Effect& effect : effects) {
      Effects more;
      switch (effect.kind) {
        case Effect::Kind::kCall:
          effect.call();
          break;
        case Effect::Kind::kPut: {
          const RunKey key{effect.request->uid, effect.request->attempt};
          ends_.push(
              {now_ + std::chrono::microseconds(5'000 + random_() % 50'000), effect.agent, key});
          core_.PutAnswered(effect.agent, key, OkStatus(), now_, &more);
          break;
        }
        case Effect::Kind::kAck:
          ++acks_;
          core_.AckAnswered(effect.agent, effect.runs, OkStatus(), now_, &more);
          break;
        case Effect::Kind::kCancel:
          break;
      }
      Carry(more);
    }
  }

  DispatchCore core_;
  const int64_t submissions_;
  const int64_t namespaces_;
  SteadyTime now_{std::chrono::seconds(1'000'000)};
  std::mt19937_64 random_{1};
  std::priority_queue<End> ends_;
  std::vector<std::string> finished_;
  int64_t submitted_ = 0;
  int64_t done_ = 0;
  int64_t acks_ = 0;
};

int64_t Argument(int argc, char** argv, int i, int64_t fallback) {
  const int64_t value = i < argc ? std::strtoll(argv[i], nullptr, 10) : fallback;
  if (value < 1 || value > 100'000'000) {
    std::fprintf(stderr, "argument %d must be from 1 to 100000000\n", i);
    std::exit(2);
  }
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t executors = Argument(argc, argv, 1, 1'000);
  const int64_t submissions = Argument(argc, argv, 2, 1'000'000);
  const int64_t slots = Argument(argc, argv, 3, 4);
  const int64_t namespaces = Argument(argc, argv, 4, 100);
  const int64_t empty = PeakBytes();
  const double before = CpuSeconds();
  Scale scale(executors, submissions, slots, namespaces);
  scale.Run();
  const double cpu = CpuSeconds() - before;
  std::printf(
      "executors %lld\nsubmissions %lld\ncpuSeconds %.2f\ncpuMicrosPerSubmission %.2f\n"
      "peakRssMiB %.1f\nbytesPerLiveSubmission %.0f\nacknowledgeRequests %lld\nleft %zu\n",
      static_cast<long long>(executors), static_cast<long long>(submissions), cpu,
      cpu * 1e6 / static_cast<double>(submissions), static_cast<double>(PeakBytes()) / kMi,
      static_cast<double>(PeakBytes() - empty) / static_cast<double>(kBacklog),
      static_cast<long long>(scale.acks()), scale.left());
  return 0;
}

// Events in, effects out: what a DispatchCore does, in words.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "operator/dispatch/dispatch_core.h"

namespace envicutor::op::testing {

inline constexpr int64_t kMi = 1 << 20;

class DispatchCoreFixture : public ::testing::Test {
 protected:
  struct Ended {
    int times = 0;
    Code code = Code::kOk;
    std::string pod;
    bool unavailable = false;
  };

  void Agent(const std::string& name, int64_t slots, const HeldRuns& held = {},
             const std::string& instance = "i1") {
    core_.AgentFound(name, "default", "node", false, now_, &out_);
    Connect(name, slots, held, instance);
  }
  void Connect(const std::string& name, int64_t slots, const HeldRuns& held = {},
               const std::string& instance = "i1") {
    api::AgentInfo info;
    info.instance = instance;
    info.slots = slots;
    info.memory_bytes = 1000 * kMi;
    core_.AgentConnected(name, info, held, now_, now_, &out_);
  }
  void Open() { core_.AgentsListed(now_, &out_); }
  void Submit(const std::string& uid, int64_t attempt = 1, int64_t memory = kMi,
              const std::string& ns = "a", bool admitted = false) {
    api::RunRequest request;
    request.uid = uid;
    request.attempt = attempt;
    request.memory_bytes = memory;
    RunEvents events;
    events.acknowledge_on_done = false;
    events.admitted = admitted;
    events.on_done = [this, uid](const Result<api::RunResult>& result,
                                 const RunPlacement& placement) {
      Ended& ended = ended_[uid];
      ++ended.times;
      ended.code = result.status().code();
      ended.pod = placement.pod;
    };
    core_.Submit("default", ns, 0, std::move(request), std::move(events), now_, &out_);
  }
  void SubmitBound(const std::string& uid, const std::string& node) {
    api::RunRequest request;
    request.uid = uid;
    request.memory_bytes = kMi;
    request.environment_node = node;
    RunEvents events;
    events.on_done = [this, uid](const Result<api::RunResult>& result, const RunPlacement&) {
      Ended& ended = ended_[uid];
      ++ended.times;
      ended.code = result.status().code();
      ended.unavailable = result.ok() && result->environment_unavailable;
    };
    core_.Submit("default", "a", 0, std::move(request), std::move(events), now_, &out_);
  }
  void Result_(const std::string& agent, api::RunResult result) {
    ResultsPage page;
    page.results.push_back(std::move(result));
    core_.AgentPolled(agent, std::move(page), now_, &out_);
  }
  void PutOk(const std::string& agent, const std::string& uid, int64_t attempt = 1) {
    core_.PutAnswered(agent, {uid, attempt}, OkStatus(), now_, &out_);
  }
  // What came out: "put AGENT UID", "cancel …", "ack …"; calls are made.
  std::vector<std::string> Out() {
    std::vector<std::string> lines;
    Effects effects;
    effects.swap(out_);
    for (const Effect& effect : effects) {
      switch (effect.kind) {
        case Effect::Kind::kPut:
          lines.push_back("put " + effect.agent + " " + effect.request->uid);
          break;
        case Effect::Kind::kCancel:
          lines.push_back("cancel " + effect.agent + " " + effect.runs[0].uid);
          break;
        case Effect::Kind::kAck: {
          std::string line = "ack " + effect.agent;
          for (const RunKey& key : effect.runs) line += " " + key.uid;
          lines.push_back(line);
          break;
        }
        case Effect::Kind::kCall:
          effect.call();
          break;
      }
    }
    return lines;
  }
  void Advance(Duration by) {
    now_ += by;
    core_.Tick(now_, &out_);
  }

  DispatchCore core_{DispatchOptions{}};
  SteadyTime now_ = SteadyTime(std::chrono::hours(1));
  Effects out_;
  std::map<std::string, Ended> ended_;
};

}  // namespace envicutor::op::testing

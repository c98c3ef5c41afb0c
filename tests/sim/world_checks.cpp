// What the simulation's world holds against its history.
#include "tests/sim/world.h"

namespace envicutor::op::sim {

void World::CheckWrite(const Json& object, bool deleted) {
  const std::string name = kube::NameOf(object);
  const Json& status = envicutor::At(object, {"status"});
  const std::string phase = deleted ? "deleted" : GetString(status, "phase");
  history_.push_back(std::to_string(clock_.Now().time_since_epoch().count()) + " " + name + " " +
                     phase);
  if (deleted) {
    deleted_.insert(name);
    return;
  }
  if (phase == "Completed" || phase == "Failed" || phase == "Cancelled") {
    const auto [it, first] = final_.emplace(kube::UidOf(object), status);
    if (!first && it->second != status) problems_.push_back(name + " has a second result");
  }
  if (phase != "Completed") return;
  const std::string out = GetString(envicutor::At(status, {"stages", "run"}), "stdout");
  if (out != kube::UidOf(object)) problems_.push_back(name + " has the output of \"" + out + "\"");
}

std::vector<std::string> World::Violations() const {
  std::vector<std::string> found = problems_;
  for (const std::string& name : api_.violations)
    found.push_back(name + ": a second result was written");
  for (int i = 0; i < submissions_; ++i) {
    const std::string name = "s" + std::to_string(i);
    if (deleted_.count(name) != 0) continue;
    const auto it = api_.objects.find("submissions/ns" + std::to_string(i % 3) + "/" + name);
    if (it == api_.objects.end()) {
      found.push_back(name + ": is gone");
      continue;
    }
    const Json& object = it->second;
    if (!op::testing::IsFinal(object)) {
      found.push_back(name + ": has no result: " + DumpJson(envicutor::At(object, {"status"})));
      continue;
    }
    const std::string phase = GetString(object["status"], "phase");
    const bool cancelled = GetBool(object["spec"], "cancel");
    if (phase == "Failed" || (phase == "Cancelled" && !cancelled)) {
      found.push_back(name + ": " + DumpJson(object["status"]));
    }
    if (phase == "Completed" && executions_.count(kube::UidOf(object)) == 0) {
      found.push_back(name + ": has a result but never ran");
    }
  }
  for (const auto& [name, agent] : agents_) {
    for (const RunKey& key : agent->unacknowledged()) {
      found.push_back(name + ": keeps a result that nobody will fetch, of attempt " +
                      std::to_string(key.attempt) + " of " + key.uid);
    }
    if (agent->running() > 0) found.push_back(name + ": runs what nobody wants");
  }
  return found;
}

}  // namespace envicutor::op::sim

#include "executor-agent/cgroup/delegation.h"

#include <sys/statfs.h>

#include <sstream>

#include "common/base/file.h"
#include "common/base/log.h"

namespace envicutor::cgroup {
namespace {

constexpr int kDestroyMillis = 10'000;
// New processes may appear in the group while we move what is there (a shell that is just forking).
constexpr int kMoveRounds = 20;

std::string Unescape(std::string_view text) {  // mountinfo writes a blank as \040
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                               (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

Status MoveAll(const Group& from, const Group& to) {
  Status last;
  for (int round = 0; round < kMoveRounds; ++round) {
    Result<std::string> procs = from.Read(kProcs);
    if (!procs.ok()) return procs.status();
    std::istringstream lines(*procs);
    std::string pid;
    bool any = false;
    while (lines >> pid) {
      // 0 is a process of a PID namespace that we do not see: it cannot be moved by number.
      if (pid == "0")
        return FailedPrecondition("processes of another PID namespace are in our control group");
      any = true;
      last = to.Write(kProcs, pid);
      if (!last.ok() && last.code() == Code::kPermissionDenied) return last;
    }
    if (!any) return OkStatus();
  }
  return last.ok() ? Unavailable("processes keep appearing in our control group") : last;
}

// "" when children of the group can have it, else why not.
std::string Available(const Group& group, const std::string& controller) {
  Result<std::string> available = group.Read(kControllers);
  if (!available.ok()) return available.status().message();
  if (HasWord(*available, controller)) return "";
  const std::string list = available->substr(0, available->find('\n'));
  return "the " + controller + " controller is not delegated to our control group (available: " +
         (list.empty() ? "none" : list) + ")";
}

std::string Enable(const Group& group, const std::string& controller) {
  std::string missing = Available(group, controller);
  if (!missing.empty()) return missing;
  const Status enabled = group.Write(kSubtreeControl, "+" + controller);
  return enabled.ok() ? "" : enabled.message();
}

}  // namespace

Result<Place> FindPlace(std::string_view mountinfo, std::string_view self_cgroup) {
  std::string own;
  std::istringstream groups{std::string(self_cgroup)};
  for (std::string line; std::getline(groups, line);) {
    if (line.starts_with("0::")) own = line.substr(3);
  }
  if (own.empty()) return FailedPrecondition("this process is in no cgroup v2 group");

  std::istringstream mounts{std::string(mountinfo)};
  for (std::string line; std::getline(mounts, line);) {
    // "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELDS...] - TYPE SOURCE SUPEROPTIONS"
    const size_t separator = line.find(" - ");
    if (separator == std::string::npos || !line.substr(separator).starts_with(" - cgroup2 "))
      continue;
    std::istringstream fields(line);
    std::string id, parent, device, root, point;
    fields >> id >> parent >> device >> root >> point;
    root = Unescape(root);
    // The mount may show a part of the tree only (a bind): our path must be inside that part.
    std::string inside = own;
    if (root != "/") {
      if (!(inside == root || inside.starts_with(root + "/"))) continue;
      inside = inside.substr(root.size());
    }
    if (inside.find("/..") != std::string::npos) continue;  // outside of our cgroup namespace
    return Place{Unescape(point), inside.empty() ? "/" : inside};
  }
  return FailedPrecondition("no cgroup v2 file system that shows our own group is mounted");
}

Delegation Delegate(const std::string& id, bool all_or_nothing) {
  Delegation result;
  Result<std::string> mountinfo = ReadFile("/proc/self/mountinfo");
  Result<std::string> self = ReadFile("/proc/self/cgroup");
  if (!mountinfo.ok() || !self.ok()) {
    result.missing = "/proc is not readable";
    return result;
  }
  Result<Place> place = FindPlace(*mountinfo, *self);
  if (!place.ok()) {
    result.missing = place.status().message();
    return result;
  }
  std::string own = place->path == "/" ? "" : place->path;
  const std::string leaf_suffix = std::string("/") + kLeafName;
  const bool in_leaf = own.ends_with(leaf_suffix);
  if (in_leaf) own.resize(own.size() - leaf_suffix.size());

  Result<Group> base = Group::Open(place->mount_point + own + "/");
  if (!base.ok()) {
    result.missing = base.status().message();
    return result;
  }
  if (all_or_nothing) {
    for (const char* controller : {"pids", "memory"}) {
      const std::string missing = Available(*base, controller);
      if (!missing.empty()) result.missing = missing;
    }
    if (!result.missing.empty()) return result;
  }
  const std::string name = "envicutor-" + id;
  result.path = own + "/" + name;
  const Status cleaned = Destroy(*base, name, kDestroyMillis);
  if (!cleaned.ok()) {
    result.missing = cleaned.message();
    return result;
  }
  // The real root group may have processes and controllers for children at once (and kernel threads
  // that must stay): it has no cgroup.events.
  const bool is_root = !base->Read(kEvents).ok();
  Result<std::string> enabled = base->Read(kSubtreeControl);
  const bool have_all = enabled.ok() && HasWord(*enabled, "memory") && HasWord(*enabled, "pids");
  if (!in_leaf && !is_root && !have_all) {
    Result<Group> leaf = base->OpenChild(kLeafName);
    if (!leaf.ok()) leaf = base->MakeChild(kLeafName);
    const Status moved = leaf.ok() ? MoveAll(*base, *leaf) : leaf.status();
    if (!moved.ok()) result.missing = "cannot move to a leaf group: " + moved.message();
  }
  for (const char* controller : {"memory", "pids", "cpu"}) {
    const std::string why = Enable(*base, controller);
    // The cpu controller is wanted for fairness only: time is measured without it.
    if (!why.empty() && std::string_view(controller) != "cpu" && result.missing.empty())
      result.missing = why;
  }
  Result<Group> boxes = base->MakeChild(name);
  if (!boxes.ok()) {
    result.missing = boxes.status().message();
    return result;
  }
  result.base = std::move(*base);
  result.name = name;
  result.boxes = std::move(*boxes);
  result.memory = Enable(result.boxes, "memory").empty();
  result.pids = Enable(result.boxes, "pids").empty();
  result.cpu = Enable(result.boxes, "cpu").empty();
  return result;
}

void Undelegate(const Delegation& delegation) {
  if (!delegation.base.valid()) return;
  const Status gone = Destroy(delegation.base, delegation.name, kDestroyMillis);
  if (!gone.ok()) log::Error("control group not removed", {{"error", gone.ToString()}});
}

}  // namespace envicutor::cgroup

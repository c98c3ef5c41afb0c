#include "standalone/cli/data_dir.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/file.h"

namespace envicutor::standalone {
namespace {

Json ProcessToJson(const ProcessId& process) {
  return {{"pid", process.pid}, {"startTicks", process.start_ticks}};
}

ProcessId ProcessFromJson(const Json& json) {
  return {static_cast<pid_t>(GetInt(json, "pid")),
          static_cast<uint64_t>(GetInt(json, "startTicks"))};
}

std::string RecordPath(const DataDir& data) { return data.Run() + "/up.json"; }

}  // namespace

Status DataDir::Make() const {
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(root, 0755));
  for (const std::string& dir : {ApiServer(), Pki()}) {
    ENVICUTOR_RETURN_IF_ERROR(MakeDirs(dir, 0700));
  }
  for (const std::string& dir : {Store(), Logs(), Run()}) {
    ENVICUTOR_RETURN_IF_ERROR(MakeDirs(dir, 0755));
  }
  return OkStatus();
}

Json RunRecordToJson(const RunRecord& record) {
  Json children = Json::array();
  for (const RunningChild& child : record.children) {
    Json json = ProcessToJson(child.process);
    json["name"] = child.name;
    json["restarts"] = child.restarts;
    children.push_back(std::move(json));
  }
  return {{"supervisor", ProcessToJson(record.supervisor)},
          {"children", children},
          {"apiPort", record.api_port},
          {"metricsAddress", record.metrics_address},
          {"mode", record.mode},
          {"explanation", record.explanation},
          {"sandbox", record.sandbox},
          {"slots", record.slots},
          {"ready", record.ready}};
}

Result<RunRecord> RunRecordFromJson(const Json& json) {
  RunRecord record;
  record.supervisor = ProcessFromJson(At(json, {"supervisor"}));
  if (record.supervisor.pid <= 0) return InvalidArgument("the record names no supervisor");
  const Json& children = At(json, {"children"});
  for (const Json& child : children.is_array() ? children : Json::array()) {
    record.children.push_back(
        {GetString(child, "name"), ProcessFromJson(child), GetInt(child, "restarts")});
  }
  record.api_port = GetInt(json, "apiPort");
  record.metrics_address = GetString(json, "metricsAddress");
  record.mode = GetString(json, "mode");
  record.explanation = GetString(json, "explanation");
  record.sandbox = GetString(json, "sandbox");
  record.slots = GetInt(json, "slots");
  record.ready = GetBool(json, "ready");
  return record;
}

Status WriteRunRecord(const DataDir& data, const RunRecord& record) {
  return WriteFileAtomic(RecordPath(data), DumpJson(RunRecordToJson(record), 2) + "\n", 0644);
}

Result<RunRecord> ReadRunRecord(const DataDir& data) {
  ENVICUTOR_ASSIGN(const std::string text, ReadFile(RecordPath(data), 1U << 20U));
  ENVICUTOR_ASSIGN(const Json json, ParseJson(text));
  return RunRecordFromJson(json);
}

UniqueFd TryLock(const DataDir& data) {
  UniqueFd fd(::open((data.Run() + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (fd.valid() && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
  return fd;
}

void CleanUpAfterDead(const DataDir& data) {
  const Result<RunRecord> record = ReadRunRecord(data);
  if (record.ok()) {
    // They die with their supervisor; this is for the moment in between.
    for (const RunningChild& child : record->children) {
      (void)EndProcess(child.process, std::chrono::milliseconds(0));
    }
  }
  ::unlink(RecordPath(data).c_str());
}

}  // namespace envicutor::standalone

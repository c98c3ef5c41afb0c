// The folder of one installation, and the record of what runs from it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"
#include "common/base/unique_fd.h"
#include "standalone/node/process.h"

namespace envicutor::standalone {

struct DataDir {
  std::string root;

  [[nodiscard]] std::string ApiServer() const { return root + "/apiserver"; }
  [[nodiscard]] std::string Pki() const { return root + "/pki"; }
  [[nodiscard]] std::string Kubeconfig() const { return root + "/kubeconfig"; }
  [[nodiscard]] std::string OperatorYaml() const { return root + "/operator.yaml"; }
  [[nodiscard]] std::string Store() const { return root + "/store"; }
  [[nodiscard]] std::string Cache() const { return root + "/cache"; }
  [[nodiscard]] std::string Logs() const { return root + "/logs"; }
  [[nodiscard]] std::string Run() const { return root + "/run"; }
  [[nodiscard]] Status Make() const;
};

struct RunningChild {
  std::string name;
  ProcessId process;
  int64_t restarts = 0;
};

// DATA/run/up.json: written by the supervisor, read by down, status and the next up.
struct RunRecord {
  ProcessId supervisor;
  std::vector<RunningChild> children;
  int64_t api_port = 0;
  std::string metrics_address;
  std::string mode;         // "host", "uml"
  std::string explanation;  // why
  std::string sandbox;
  int64_t slots = 0;
  bool ready = false;
};
[[nodiscard]] Json RunRecordToJson(const RunRecord& record);
[[nodiscard]] Result<RunRecord> RunRecordFromJson(const Json& json);
[[nodiscard]] Status WriteRunRecord(const DataDir& data, const RunRecord& record);
// NotFound: nothing was started, or it was stopped in order.
[[nodiscard]] Result<RunRecord> ReadRunRecord(const DataDir& data);

// Held by the supervisor as long as it lives; not inherited by its children. Invalid when another
// has it.
[[nodiscard]] UniqueFd TryLock(const DataDir& data);

// Ends children that a killed supervisor left behind, if there are any, and the record. With the
// lock.
void CleanUpAfterDead(const DataDir& data);

}  // namespace envicutor::standalone

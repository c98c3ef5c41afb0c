// What a submission reads from ConfigMaps of its namespace.
#include "common/base/encoding.h"
#include "common/kube/resource.h"
#include "operator/controllers/submission_controller.h"

namespace envicutor::op {
namespace {

constexpr const char* kInputLabel = "envicutor.io/input";

}  // namespace

Result<std::string> SubmissionController::ReadInput(const std::string& ns, const std::string& name,
                                                    const std::string& key) {
  const std::string what = "ConfigMap \"" + name + "\"";
  const Status absent = NotFound(what + " is not there or not labelled " + kInputLabel + "=true");
  const Result<Json> map = deps_.client.Get(kube::kConfigMaps, ns, name);
  if (!map.ok()) {
    return map.status().code() == Code::kNotFound ? absent : map.status();
  }
  if (GetString(At(*map, {"metadata", "labels"}), kInputLabel) != "true") return absent;
  const Json& text = At(*map, {"data", key});
  if (text.is_string()) return text.get<std::string>();
  const Json& binary = At(*map, {"binaryData", key});
  if (binary.is_string()) return Base64Decode(binary.get<std::string>());
  return NotFound(what + " has no key \"" + key + "\"");
}

}  // namespace envicutor::op

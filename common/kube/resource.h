// Names of the resource types that the project uses, and small readers of object metadata.
#pragma once

#include <string>
#include <vector>

#include "common/base/json.h"

namespace envicutor::kube {

struct ResourceType {
  std::string group;  // "" is the core group
  std::string version;
  std::string plural;
  std::string kind;
  bool namespaced = true;

  [[nodiscard]] std::string ApiVersion() const {
    return group.empty() ? version : group + "/" + version;
  }
  // "/apis/envicutor.io/v1alpha1/namespaces/NS/submissions/NAME/SUB"; ns, name, subresource may be
  // "".
  [[nodiscard]] std::string Path(const std::string& ns, const std::string& name = "",
                                 const std::string& subresource = "") const;
};

inline const ResourceType kPods{"", "v1", "pods", "Pod", true};
inline const ResourceType kSecrets{"", "v1", "secrets", "Secret", true};
inline const ResourceType kConfigMaps{"", "v1", "configmaps", "ConfigMap", true};
inline const ResourceType kNamespaces{"", "v1", "namespaces", "Namespace", false};
inline const ResourceType kNodes{"", "v1", "nodes", "Node", false};
inline const ResourceType kEvents{"", "v1", "events", "Event", true};
inline const ResourceType kLeases{"coordination.k8s.io", "v1", "leases", "Lease", true};
inline const ResourceType kCrds{"apiextensions.k8s.io", "v1", "customresourcedefinitions",
                                "CustomResourceDefinition", false};
inline const ResourceType kRuntimes{"envicutor.io", "v1alpha1", "runtimes", "Runtime", false};
inline const ResourceType kSubmissions{"envicutor.io", "v1alpha1", "submissions", "Submission",
                                       true};
inline const ResourceType kExecutorPools{"envicutor.io", "v1alpha1", "executorpools",
                                         "ExecutorPool", false};

[[nodiscard]] std::string NameOf(const Json& object);
[[nodiscard]] std::string NamespaceOf(const Json& object);
[[nodiscard]] std::string UidOf(const Json& object);
[[nodiscard]] std::string ResourceVersionOf(const Json& object);
// "namespace/name", or "name" for cluster-scoped objects.
[[nodiscard]] std::string KeyOf(const Json& object);

// Sets condition `type` in object's status.conditions (list-map by type): lastTransitionTime
// changes only with the status. Returns true when anything changed.
struct Condition {
  std::string type;
  std::string status;  // "True", "False", "Unknown"
  std::string reason;  // CamelCase
  std::string message;
  int64_t observed_generation = 0;
};
bool SetCondition(Json* conditions, const Condition& condition, const std::string& now_rfc3339);
// The status of a condition, "Unknown" when absent.
[[nodiscard]] std::string ConditionStatus(const Json& object, std::string_view type);

}  // namespace envicutor::kube

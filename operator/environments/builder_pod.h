// The builder pod and its ConfigMap (docs/architecture.md, "A builder pod"), and what such a pod
// says when it has ended. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/api/environment.h"
#include "common/base/json.h"
#include "operator/environments/builds.h"
#include "operator/options.h"

namespace envicutor::op {

inline constexpr char kBuilderComponent[] = "builder";
// The label selector of all builder pods.
inline constexpr char kBuilderSelector[] =
    "app.kubernetes.io/name=envicutor,app.kubernetes.io/component=builder";
inline constexpr char kEnvironmentLabel[] = "envicutor.io/environment";

[[nodiscard]] std::string BuilderName(const std::string& hash);  // "builder-HASH"
[[nodiscard]] std::string RemoverName(const std::string& hash);  // "remove-HASH"

[[nodiscard]] Json BuilderConfigMap(const std::string& hash, const api::EnvironmentSpec& spec,
                                    const Options& options);
// `doubted`: an executor could not get it from the cache, which is then read to its last byte.
[[nodiscard]] Json BuilderPod(const std::string& hash, const api::EnvironmentSpec& spec,
                              const Options& options, bool doubted = false);
// Removes a discarded environment from the store.
[[nodiscard]] Json RemoverPod(const std::string& hash, const Options& options);

// The pod that removes from the cache, and its node's store, what nobody needs; and what it is
// told.
inline constexpr char kCollectorName[] = "cache-collector";
// The value of kEnvironmentLabel of that pod.
inline constexpr char kCollectorLabel[] = "collect";

struct KeptEnvironment {
  std::string hash;
  std::string store_path;      // "": not known
  bool pinned = false;         // else it stays as long as there is room
  int64_t last_used_unix = 0;  // where not pinned
};
[[nodiscard]] Json CollectorConfigMap(const std::vector<KeptEnvironment>& kept,
                                      const Options& options);
[[nodiscard]] Json CollectorPod(const Options& options);

struct CollectorOutcome {
  bool ended = false;
  bool ok = false;
  bool changed = false;  // something went
  int64_t kept_bytes = 0;
  std::string message;
  std::vector<std::string> environments;  // that are no longer in the cache; some of them, if many
};
[[nodiscard]] CollectorOutcome ReadCollectorPod(const Json& pod);

struct PodOutcome {
  enum class Phase { kWaiting, kRunning, kEnded };
  Phase phase = Phase::kWaiting;
  std::string waiting;          // why it does not run yet, or ""
  bool infrastructure = false;  // kEnded: worth trying again
  BuildState state;             // kEnded: kReady or kFailed
};
// `options` for the words about time-outs and memory.
[[nodiscard]] PodOutcome ReadBuilderPod(const Json& pod, const Options& options);

}  // namespace envicutor::op

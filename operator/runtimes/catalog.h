// Which Runtimes serve submissions now. While an edited Runtime builds and tests, the old spec goes
// on serving; this is what the submission controller asks.
#pragma once

#include <functional>
#include <string>

#include "common/base/json.h"

namespace envicutor::op {

struct ServedRuntime {
  std::string name;
  int64_t generation = 0;              // of the spec that serves
  std::string environment_hash;        // built, tested
  Json spec;                           // the Runtime's spec that serves
  std::string pool;                    // spec.executorPool or "default"
  std::string environment_store_path;  // for executors that must fetch it; "" when not known
};

struct RuntimeLookup {
  enum class State { kServing, kNotReady, kNotFound };
  State state = State::kNotFound;
  ServedRuntime runtime;  // kServing
  std::string message;    // kNotReady: why, for status.message: "Runtime python3 is Building: ..."
  bool failed = false;    // kNotReady and its condition says it will not become ready by itself
};

// Thread-safe.
class RuntimeCatalog {
 public:
  virtual ~RuntimeCatalog() = default;
  [[nodiscard]] virtual RuntimeLookup Find(const std::string& name) const = 0;
  // Called with the name when what Find answers changed.
  virtual void OnChange(std::function<void(const std::string& name)> callback) = 0;
};

}  // namespace envicutor::op

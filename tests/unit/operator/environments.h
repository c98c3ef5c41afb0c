// Environments to ask for, and what a builder pod says at its end.
#pragma once

#include <string>

#include "common/api/environment.h"
#include "common/base/json.h"

namespace envicutor::op::testing {

inline api::EnvironmentSpec Packages(const std::string& name) {
  api::EnvironmentSpec spec;
  spec.packages = {name};
  return spec;
}

inline Json Message(const std::string& outcome, const std::string& message) {
  Json json = {{"outcome", outcome}, {"message", message}};
  if (outcome == "Built") {
    json["environment"] = {
        {"storePath", "/nix/store/x"}, {"closureSizeBytes", 9}, {"closurePaths", 2}};
  }
  return json;
}

}  // namespace envicutor::op::testing

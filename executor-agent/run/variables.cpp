#include "executor-agent/run/variables.h"

namespace envicutor::agent {

std::vector<std::string> StageVariables(const std::map<std::string, std::string>& captured,
                                        const api::EnvVars& extra) {
  std::map<std::string, std::string> merged = captured;
  merged.try_emplace("LANG", "C.UTF-8");
  merged["TMPDIR"] = "/tmp";  // a builder's own folder is not there
  for (const auto& [name, value] : extra) merged[name] = value;
  // What describes the box is true whatever was captured or asked for.
  merged["HOME"] = "/tmp";
  merged["PWD"] = "/box";
  std::vector<std::string> variables;
  variables.reserve(merged.size());
  for (const auto& [name, value] : merged) variables.push_back(name + '=' + value);
  return variables;
}

}  // namespace envicutor::agent

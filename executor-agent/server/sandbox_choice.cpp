#include "common/base/file.h"
#include "executor-agent/server/agent.h"

namespace envicutor::agent {

Result<std::unique_ptr<Sandbox>> NewSandbox(const AgentOptions& options) {
  SandboxOptions sandbox;
  sandbox.state_dir = options.state_dir + "/sandbox";
  sandbox.slots = options.slots;
  sandbox.first_uid = static_cast<unsigned>(options.first_uid);
  sandbox.allow_degraded = options.allow_degraded;
  sandbox.pin_cpus = options.pin_cpus == "on"    ? PinCpus::kOn
                     : options.pin_cpus == "off" ? PinCpus::kOff
                                                 : PinCpus::kAuto;
  sandbox.isolate_binary = options.isolate_binary;
  sandbox.extractor_binary = options.extractor_binary;
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(sandbox.state_dir, 0700));
  return options.sandbox == "isolate" ? NewIsolateSandbox(sandbox) : NewNativeSandbox(sandbox);
}

}  // namespace envicutor::agent

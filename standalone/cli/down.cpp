// `envicutor down`.
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "standalone/cli/command.h"
#include "standalone/cli/data_dir.h"
#include "standalone/node/adoption.h"
#include "standalone/node/process.h"

namespace envicutor::standalone {
namespace {

// More than the parts' own graces together.
constexpr std::chrono::seconds kStopTimeout{90};

}  // namespace

int DownCommand(const Arguments& argv) {
  std::string data_dir = kDefaultDataDir;
  Flags flags("down [flags]", "Stops what `envicutor up` started. Its data stays.");
  std::string output;
  flags.String("data-dir", &data_dir, "DIR", "of which installation");
  flags.String("output", &output, "json|yaml", "how to print", 'o');
  int exit_code = 0;
  if (ParsedToEnd(flags, argv, &exit_code)) return exit_code;
  if (const Status checked = CheckOutput(output); !checked.ok()) return Fail(checked);
  const auto say = [&output](const char* state) {
    if (output.empty()) {
      std::puts(state);
    } else {
      Print({{"state", state}}, output);
    }
  };
  const DataDir data{data_dir};
  const Result<RunRecord> record = ReadRunRecord(data);
  if (!record.ok()) {
    // Executors outlive a node that was killed, `envicutor node` alone included.
    const int ended = EndLeftoverPods(data.root);
    say(ended > 0 ? "stopped" : "not running");
    return record.status().code() == Code::kNotFound ? 0 : Fail(record.status());
  }
  const UniqueFd supervisor = OpenProcess(record->supervisor);
  if (supervisor.valid()) {
    SendSignal(supervisor, SIGTERM);
    if (!WaitForEnd(supervisor, kStopTimeout)) {
      std::fputs("it does not end: killing it\n", stderr);
      SendSignal(supervisor, SIGKILL);
      (void)WaitForEnd(supervisor, std::chrono::seconds(10));
    }
  }
  const UniqueFd lock = TryLock(data);
  if (!lock.valid()) {
    return Fail(FailedPrecondition("another envicutor works in " + data.root));
  }
  CleanUpAfterDead(data);
  (void)EndLeftoverPods(data.root);
  say("stopped");
  return 0;
}

}  // namespace envicutor::standalone

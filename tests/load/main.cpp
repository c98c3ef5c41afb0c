// envicutor-load: makes load, measures it and reports. Part of the tests, not of the product.
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "common/base/log.h"
#include "tests/load/direct.h"
#include "tests/load/figures.h"
#include "tests/load/spawn.h"
#include "tests/load/submissions.h"

namespace {

using envicutor::Json;
using envicutor::Result;
using envicutor::load::Flags;

struct Command {
  const char* name;
  const char* help;
  const std::vector<std::string>* flags;
  Result<Json> (*run)(const Flags&);
};

const std::vector<Command>& Commands() {
  static const std::vector<Command> commands = {
      {"submissions", "Submissions through the API server, and their ends by a watch",
       &envicutor::load::kSubmissionFlags, envicutor::load::RunSubmissions},
      {"bare", "create + status patch by a plain client: what the API server allows",
       &envicutor::load::kBareFlags, envicutor::load::RunBare},
      {"agent", "an executor-agent's own API", &envicutor::load::kAgentFlags,
       envicutor::load::RunAgent},
      {"go-judge", "go-judge's POST /run", &envicutor::load::kGoJudgeFlags,
       envicutor::load::RunGoJudge},
      {"spawn", "posix_spawn of the program after --", &envicutor::load::kSpawnFlags,
       envicutor::load::RunSpawn},
  };
  return commands;
}

int Usage(std::FILE* to) {
  std::fprintf(to, "usage: envicutor-load COMMAND [--FLAG VALUE]... [--output table|json]\n\n");
  for (const Command& command : Commands()) {
    std::fprintf(to, "  %-12s %s\n               ", command.name, command.help);
    for (const std::string& flag : *command.flags) std::fprintf(to, " --%s", flag.c_str());
    std::fprintf(to, "\n");
  }
  return to == stdout ? 0 : 2;
}

int Run(const Command& command, const std::vector<std::string>& argv) {
  const Result<Flags> flags = Flags::Parse(argv, *command.flags);
  if (!flags.ok()) {
    std::fprintf(stderr, "error: %s\n", flags.status().message().c_str());
    return 2;
  }
  const Result<Json> report = command.run(*flags);
  if (!report.ok()) {
    std::fprintf(stderr, "error: %s\n", report.status().ToString().c_str());
    return 1;
  }
  if (flags->Text("output", "table") == "json") {
    std::puts(envicutor::DumpJson(*report, 2).c_str());
  } else {
    std::fputs(envicutor::load::ReportTable(*report).c_str(), stdout);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  envicutor::log::Configure("load", envicutor::log::Level::kWarn, envicutor::log::Format::kText);
  if (argc < 2) return Usage(stderr);
  const std::string name = argv[1];
  if (name == "--help" || name == "help") return Usage(stdout);
  for (const Command& command : Commands()) {
    if (name == command.name) return Run(command, {argv + 2, argv + argc});
  }
  return Usage(stderr);
}

#include "standalone/cli/cli.h"

#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>

#include "standalone/cli/command.h"

namespace envicutor::standalone {
namespace {

struct Command {
  std::string_view name;
  int (*run)(const Arguments&);
  std::string_view help;
};

constexpr Command kCommands[] = {
    {"up", UpCommand, "Run everything on this machine"},
    {"down", DownCommand, "Stop what `up` started; its data stays"},
    {"status", StatusCommand, "What runs, and how it is"},
    {"run", RunCommand, "Run a program as a Submission and print what it prints"},
    {"test-runtimes", TestRuntimesCommand,
     "Apply a folder of Runtimes and report their self-tests"},
    {"apiserver", ApiServerCommand, "The embedded Kubernetes API server (a part of up)"},
    {"node", NodeCommand, "A node for executor and builder pods (a part of up)"},
    {"setup", SetupCommand, "Prepare a cluster: keys, certificates, pools (the Helm chart's Jobs)"},
    {"version", VersionCommand, "Print the version"},
};

std::string Help() {
  std::string text =
      "Envicutor runs untrusted programs on Kubernetes, or on one machine.\n\n"
      "Usage:\n  envicutor COMMAND [flags]\n\nCommands:\n";
  for (const Command& command : kCommands) {
    std::string line = "  " + std::string(command.name);
    line.resize(18, ' ');
    text += line + std::string(command.help) + "\n";
  }
  return text + "\nUse \"envicutor COMMAND --help\" for more about a command.\n";
}

}  // namespace

int VersionCommand(const Arguments& argv) {
  std::string output;
  Flags flags("version [flags]", "Prints the version.");
  flags.String("output", &output, "json|yaml", "how to print", 'o');
  int exit_code = 0;
  if (ParsedToEnd(flags, argv, &exit_code)) return exit_code;
  if (const Status checked = CheckOutput(output); !checked.ok()) return Fail(checked);
  if (output.empty()) {
    std::puts("envicutor " ENVICUTOR_VERSION);
  } else {
    Print({{"version", ENVICUTOR_VERSION}}, output);
  }
  return 0;
}

int CliMain(int argc, char** argv) {
  // A reader that went away is an error of write, not the end of this process.
  std::signal(SIGPIPE, SIG_IGN);
  Arguments arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" ||
      arguments[0] == "help") {
    std::fputs(Help().c_str(), stdout);
    return 0;
  }
  const std::string name = arguments[0] == "--version" ? "version" : arguments[0];
  arguments.erase(arguments.begin());
  for (const Command& command : kCommands) {
    if (command.name == name) return command.run(arguments);
  }
  std::vector<std::string> names;
  for (const Command& command : kCommands) names.emplace_back(command.name);
  const std::string meant = Nearest(name, names);
  std::fprintf(stderr, "error: unknown command \"%s\"%s\nSee 'envicutor --help'.\n", name.c_str(),
               meant.empty() ? "" : ("; did you mean " + meant + "?").c_str());
  return 2;
}

}  // namespace envicutor::standalone

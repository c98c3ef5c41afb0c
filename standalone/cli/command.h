// What the commands share: how one looks, where the API server is, how answers are printed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/base/status.h"
#include "common/kube/client.h"
#include "standalone/cli/flags.h"

namespace envicutor::standalone {

inline constexpr char kDefaultDataDir[] = "/var/lib/envicutor";

// Each takes argv without the program's and its own name and gives an exit code.
using Arguments = std::vector<std::string>;
int UpCommand(const Arguments& argv);
int DownCommand(const Arguments& argv);
int StatusCommand(const Arguments& argv);
int RunCommand(const Arguments& argv);
int TestRuntimesCommand(const Arguments& argv);
int ApiServerCommand(const Arguments& argv);
int NodeCommand(const Arguments& argv);
int SetupCommand(const Arguments& argv);
int VersionCommand(const Arguments& argv);

// Parses; when that ends the command (help, a mistake) true, with the exit code.
[[nodiscard]] bool ParsedToEnd(Flags& flags, const Arguments& argv, int* exit_code);
// "error: MESSAGE" on stderr; 1.
int Fail(const Status& status);

// --output: "", json, yaml. InvalidArgument for others.
[[nodiscard]] Status CheckOutput(const std::string& output);
[[nodiscard]] std::string ToYaml(const Json& value);
void Print(const Json& value, const std::string& output);

// --kubeconfig, $KUBECONFIG, the cluster's, ~/.kube/config, and before the last what `up` wrote.
struct Connection {
  std::unique_ptr<kube::Client> client;
  std::string ns;
};
[[nodiscard]] Result<Connection> Connect(const std::string& kubeconfig);

// The folder of this program, links followed.
[[nodiscard]] std::string BinDir();

// Columns aligned, as kubectl prints.
[[nodiscard]] std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace envicutor::standalone

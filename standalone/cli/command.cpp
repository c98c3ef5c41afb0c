#include "standalone/cli/command.h"

#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "common/kube/config.h"

namespace envicutor::standalone {
namespace {

void Emit(const Json& value, YAML::Emitter* out) {
  if (value.is_object()) {
    *out << YAML::BeginMap;
    for (const auto& [key, member] : value.items()) {
      *out << YAML::Key << key << YAML::Value;
      Emit(member, out);
    }
    *out << YAML::EndMap;
  } else if (value.is_array()) {
    *out << YAML::BeginSeq;
    for (const Json& item : value) Emit(item, out);
    *out << YAML::EndSeq;
  } else if (value.is_string()) {
    const std::string text = value.get<std::string>();
    if (text.find('\n') != std::string::npos) {
      *out << YAML::Literal << text;
    } else {
      *out << YAML::DoubleQuoted << text;
    }
  } else if (value.is_null()) {
    *out << YAML::Null;
  } else {
    *out << DumpJson(value);
  }
}

}  // namespace

bool ParsedToEnd(Flags& flags, const Arguments& argv, int* exit_code) {
  const Status parsed = flags.Parse(argv);
  if (flags.help_wanted()) {
    std::fputs(flags.Help().c_str(), stdout);
    *exit_code = 0;
    return true;
  }
  if (parsed.ok()) return false;
  std::fprintf(stderr, "error: %s\nSee 'envicutor %s --help'.\n", parsed.message().c_str(),
               flags.command().c_str());
  *exit_code = 2;
  return true;
}

int Fail(const Status& status) {
  std::fprintf(stderr, "error: %s\n", status.message().c_str());
  return 1;
}

Status CheckOutput(const std::string& output) {
  if (output.empty() || output == "json" || output == "yaml") return OkStatus();
  return InvalidArgument("--output: \"" + output + "\" is neither json nor yaml");
}

std::string ToYaml(const Json& value) {
  YAML::Emitter out;
  Emit(value, &out);
  return std::string(out.c_str()) + "\n";
}

void Print(const Json& value, const std::string& output) {
  const std::string text = output == "yaml" ? ToYaml(value) : DumpJson(value, 2) + "\n";
  (void)std::fwrite(text.data(), 1, text.size(), stdout);  // a reader that left wants no more
  std::fflush(stdout);
}

Result<Connection> Connect(const std::string& kubeconfig) {
  std::string flag = kubeconfig;
  const std::string local = std::string(kDefaultDataDir) + "/kubeconfig";
  const bool elsewhere =
      std::getenv("KUBECONFIG") != nullptr || std::getenv("KUBERNETES_SERVICE_HOST") != nullptr;
  if (flag.empty() && !elsewhere && ::access(local.c_str(), R_OK) == 0) flag = local;
  Result<kube::ClientConfig> found = kube::DefaultConfig(flag);
  if (!found.ok() && flag.empty() && !elsewhere) {
    return NotFound("no API server is known here (" + found.status().message() +
                    "): start one with `envicutor up`, or give --kubeconfig or $KUBECONFIG");
  }
  if (!found.ok()) return found.status();
  const kube::ClientConfig& config = *found;
  Connection connection;
  ENVICUTOR_ASSIGN(connection.client, kube::NewClient(config));
  connection.ns = config.default_namespace.empty() ? "default" : config.default_namespace;
  return connection;
}

std::string BinDir() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
}

std::string FormatTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line += std::string(widths[i] - row[i].size() + 3, ' ');
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace envicutor::standalone

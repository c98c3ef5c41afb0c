#include "executor-agent/server/options.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <functional>
#include <string_view>
#include <thread>

#include "common/api/limits.h"

namespace envicutor::agent {
namespace {

constexpr int64_t kMaxSlots = 1024;

Result<int64_t> ParseInteger(const std::string& text, int64_t min, int64_t max) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < min || value > max) {
    return InvalidArgument("\"" + text + "\" must be a whole number from " + std::to_string(min) +
                           " to " + std::to_string(max));
  }
  return value;
}

struct Flag {
  std::string_view name;
  std::string_view value;  // what the help calls it; "" for a switch
  std::string_view help;
  std::function<Status(AgentOptions&, const std::string&)> set;
};

Flag Address(std::string_view name, std::string_view help, ListenAddress AgentOptions::*member) {
  return {name, "ADDRESS:PORT", help,
          [member](AgentOptions& options, const std::string& text) -> Status {
            ENVICUTOR_ASSIGN(options.*member, ParseListenAddress(text));
            return OkStatus();
          }};
}

Flag Text(std::string_view name, std::string_view value, std::string_view help,
          std::string AgentOptions::*member) {
  return {name, value, help, [member](AgentOptions& options, const std::string& text) -> Status {
            if (text.empty()) return InvalidArgument("must not be empty");
            options.*member = text;
            return OkStatus();
          }};
}

Flag Number(std::string_view name, std::string_view help, int64_t AgentOptions::*member,
            int64_t min, int64_t max) {
  return {name, "N", help, [=](AgentOptions& options, const std::string& text) -> Status {
            ENVICUTOR_ASSIGN(options.*member, ParseInteger(text, min, max));
            return OkStatus();
          }};
}

Flag Bytes(std::string_view name, std::string_view help, int64_t AgentOptions::*member) {
  return {name, "BYTES", help, [member](AgentOptions& options, const std::string& text) -> Status {
            ENVICUTOR_ASSIGN(options.*member, api::ParseQuantity(text));
            return OkStatus();
          }};
}

Flag Switch(std::string_view name, std::string_view help, bool AgentOptions::*member) {
  return {name, "", help, [member](AgentOptions& options, const std::string&) -> Status {
            options.*member = true;
            return OkStatus();
          }};
}

Status SetSlots(AgentOptions& options, const std::string& text) {
  ENVICUTOR_ASSIGN(const int64_t slots, ParseInteger(text, 1, kMaxSlots));
  options.slots = static_cast<int>(slots);
  return OkStatus();
}

Status SetSandbox(AgentOptions& options, const std::string& text) {
  if (text != "native" && text != "isolate") {
    return InvalidArgument("\"" + text + "\" must be native or isolate");
  }
  options.sandbox = text;
  return OkStatus();
}

Status SetPinCpus(AgentOptions& options, const std::string& text) {
  if (text != "auto" && text != "on" && text != "off")
    return InvalidArgument("\"" + text + "\" must be auto, on or off");
  options.pin_cpus = text;
  return OkStatus();
}

// A Nix setting's value: one line, which cannot begin another setting.
Status CheckSetting(const std::string& text, size_t max_bytes) {
  if (text.size() > max_bytes) {
    return InvalidArgument("has " + std::to_string(text.size()) + " bytes, more than the maximum " +
                           std::to_string(max_bytes));
  }
  for (const char c : text) {
    if (c < ' ' || c > '~') return InvalidArgument("must be printable ASCII on one line");
  }
  return OkStatus();
}

Status SetCacheUrl(AgentOptions& options, const std::string& text) {
  ENVICUTOR_RETURN_IF_ERROR(CheckSetting(text, 4096));
  if (!text.empty() &&
      (text.find("://") == std::string::npos || text.find(' ') != std::string::npos))
    return InvalidArgument("\"" + text + "\" must be one URL: file://, http://, https:// or s3://");
  options.cache_url = text;
  return OkStatus();
}

Status SetCacheKeys(AgentOptions& options, const std::string& text) {
  ENVICUTOR_RETURN_IF_ERROR(CheckSetting(text, 16384));
  options.cache_public_keys = text;
  return OkStatus();
}

Status SetCacheUpstreams(AgentOptions& options, const std::string& text) {
  ENVICUTOR_RETURN_IF_ERROR(CheckSetting(text, 16384));
  options.cache_upstreams = text;
  return OkStatus();
}

Status SetCacheTimeout(AgentOptions& options, const std::string& text) {
  ENVICUTOR_ASSIGN(options.cache_timeout_millis, api::ParseDurationMillis(text));
  if (options.cache_timeout_millis <= 0) return InvalidArgument("must be more than 0");
  return OkStatus();
}

Status SetDrainTimeout(AgentOptions& options, const std::string& text) {
  ENVICUTOR_ASSIGN(options.drain_timeout_millis, api::ParseDurationMillis(text));
  return OkStatus();
}

Status SetLogFormat(AgentOptions& options, const std::string& text) {
  if (text != "json" && text != "text")
    return InvalidArgument("\"" + text + "\" must be json or text");
  options.log_format = text == "json" ? log::Format::kJson : log::Format::kText;
  return OkStatus();
}

Status SetLogLevel(AgentOptions& options, const std::string& text) {
  constexpr std::array<std::pair<std::string_view, log::Level>, 4> kLevels = {
      {{"debug", log::Level::kDebug},
       {"info", log::Level::kInfo},
       {"warn", log::Level::kWarn},
       {"error", log::Level::kError}}};
  for (const auto& [name, level] : kLevels) {
    if (name == text) {
      options.log_level = level;
      return OkStatus();
    }
  }
  return InvalidArgument("\"" + text + "\" must be debug, info, warn or error");
}

const std::vector<Flag>& Flags() {
  static const auto* const kFlags = new std::vector<Flag>{
      Address("--listen", "where runs are taken, mutual TLS (0.0.0.0:8443)", &AgentOptions::listen),
      Address("--probe-listen", "/healthz and /readyz, plain (0.0.0.0:8081)",
              &AgentOptions::probe_listen),
      Address("--metrics-listen", "/metrics for Prometheus, plain (0.0.0.0:9464)",
              &AgentOptions::metrics_listen),
      {"--slots", "N", "runs at once (the machine's CPUs)", SetSlots},
      Bytes("--memory",
            "what the runs' memory limits may add up to, e.g. 4Gi (half of the machine's)",
            &AgentOptions::memory_bytes),
      {"--sandbox", "native|isolate", "the engine that runs programs (native)", SetSandbox},
      Text("--isolate", "FILE", "the isolate binary (isolate, from PATH)",
           &AgentOptions::isolate_binary),
      Text("--extractor", "FILE", "the envicutor-extract binary (beside this one)",
           &AgentOptions::extractor_binary),
      Number("--first-uid",
             "boxes run as this user id and some above it: disjoint for each agent of a machine "
             "(60000)",
             &AgentOptions::first_uid, 1000, 2'000'000'000),
      Text("--store", "DIR", "the store volume with the environments (/var/lib/envicutor/store)",
           &AgentOptions::store),
      {"--cache-url", "URL",
       "the binary cache that environments are fetched from: file://, http(s)://, s3:// (none)",
       SetCacheUrl},
      {"--cache-public-keys", "KEYS", "NAME:BASE64 ...: what none of them signed is refused (none)",
       SetCacheKeys},
      {"--cache-upstreams", "URLS", "more binary caches, asked after --cache-url (none)",
       SetCacheUpstreams},
      Bytes("--cache-max-size", "what the store may hold; least recently used goes first (20Gi)",
            &AgentOptions::cache_max_bytes),
      {"--cache-timeout", "DURATION", "how long fetching one environment may take (10m)",
       SetCacheTimeout},
      Text("--state-dir", "DIR",
           "journal and sandbox state, survives restarts (/var/lib/envicutor/agent)",
           &AgentOptions::state_dir),
      Text("--tls-dir", "DIR", "tls.crt, tls.key, ca.crt (/etc/envicutor/tls)",
           &AgentOptions::tls_dir),
      Number("--compile-cache-entries", "compiled programs kept, 0 for none (64)",
             &AgentOptions::compile_cache_entries, 0, 100'000),
      Bytes("--compile-cache-bytes", "and their size together (256Mi)",
            &AgentOptions::compile_cache_bytes),
      {"--drain-timeout", "DURATION", "how long running programs may go on after SIGTERM (25s)",
       SetDrainTimeout},
      Switch("--allow-degraded",
             "run without memory and process control groups: limits are approximate",
             &AgentOptions::allow_degraded),
      {"--pin-cpus", "auto|on|off",
       "a CPU for each slot; auto: where the CPUs are the agent's own (auto)", SetPinCpus},
      {"--log-format", "json|text", "one line an event on stderr (json)", SetLogFormat},
      {"--log-level", "LEVEL", "debug, info, warn or error (info)", SetLogLevel},
      Switch("--help", "this text", &AgentOptions::help),
      Switch("--version", "the version", &AgentOptions::version),
  };
  return *kFlags;
}

const Flag* FindFlag(std::string_view name) {
  for (const Flag& flag : Flags()) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

}  // namespace

Result<ListenAddress> ParseListenAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return InvalidArgument("\"" + text + "\" must be ADDRESS:PORT");
  ListenAddress address;
  address.host = text.substr(0, colon);
  if (address.host.size() >= 2 && address.host.front() == '[' && address.host.back() == ']') {
    address.host = address.host.substr(1, address.host.size() - 2);
  }
  if (address.host.empty()) address.host = "0.0.0.0";
  const Result<int64_t> port = ParseInteger(text.substr(colon + 1), 0, 65535);
  if (!port.ok()) return port.status().WithContext("the port");
  address.port = static_cast<uint16_t>(*port);
  return address;
}

Result<AgentOptions> ParseAgentOptions(const std::vector<std::string>& arguments) {
  AgentOptions options;
  options.slots = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  for (size_t i = 0; i < arguments.size(); ++i) {
    const size_t equals = arguments[i].find('=');
    const std::string name = arguments[i].substr(0, equals);
    const Flag* const flag = FindFlag(name);
    if (flag == nullptr)
      return InvalidArgument("unknown flag \"" + arguments[i] + "\"; see --help");
    std::string value;
    if (equals != std::string::npos) {
      value = arguments[i].substr(equals + 1);
      if (flag->value.empty()) return InvalidArgument(name + " takes no value");
    } else if (!flag->value.empty()) {
      if (++i == arguments.size()) return InvalidArgument(name + " needs a value; see --help");
      value = arguments[i];
    }
    const Status set = flag->set(options, value);
    if (!set.ok()) return set.WithContext(name);
  }
  if (!options.cache_url.empty() && options.cache_public_keys.empty()) {
    return InvalidArgument(
        "--cache-url needs --cache-public-keys: nothing that nobody signed is taken from a cache");
  }
  if (options.memory_bytes == 0) {
    options.memory_bytes = int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE) / 2;
  }
  return options;
}

std::string AgentHelp() {
  std::string text =
      "envicutor-executor-agent: runs submissions that the envicutor operator sends, each in a "
      "sandbox.\n"
      "\n"
      "Usage: envicutor-executor-agent [FLAGS]\n"
      "\n"
      "It needs root, a control group v2 tree of its own with memory and pids (or "
      "--allow-degraded), the\n"
      "store volume that builders fill, and a certificate; only clients of the same CA with the "
      "common\n"
      "name envicutor-operator are served. SIGTERM drains it: no new runs, what runs may finish.\n"
      "\n"
      "Flags (defaults in parentheses):\n";
  constexpr size_t kColumn = 32;
  for (const Flag& flag : Flags()) {
    std::string left = "  " + std::string(flag.name);
    if (!flag.value.empty()) left += ' ' + std::string(flag.value);
    left.resize(std::max(left.size() + 1, kColumn), ' ');
    text += left + std::string(flag.help) + '\n';
  }
  text +=
      "\nExit codes: 0 after SIGTERM, 1 when it could not start, 2 for a mistake in the flags.\n";
  return text;
}

}  // namespace envicutor::agent

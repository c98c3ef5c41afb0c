// The agent's command line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/log.h"
#include "common/base/status.h"

namespace envicutor::agent {

struct ListenAddress {
  std::string host;
  uint16_t port = 0;
};

struct AgentOptions {
  bool help = false;
  bool version = false;
  ListenAddress listen{"0.0.0.0", 8443};
  ListenAddress probe_listen{"0.0.0.0", 8081};
  ListenAddress metrics_listen{"0.0.0.0", 9464};
  int slots = 1;
  std::string sandbox = "native";
  int64_t memory_bytes = 0;
  std::string store = "/var/lib/envicutor/store";
  std::string cache_url;          // "": environments come only from builders on this node
  std::string cache_public_keys;  // "name:base64 ..."
  std::string cache_upstreams;    // "url ..."
  int64_t cache_max_bytes = 20LL << 30;
  int64_t cache_timeout_millis = 600'000;  // of one fetch
  std::string state_dir = "/var/lib/envicutor/agent";
  std::string tls_dir = "/etc/envicutor/tls";
  int64_t tls_check_millis = 10'000;  // how often its files are looked at; not a flag
  bool allow_degraded = false;
  std::string pin_cpus = "auto";
  std::string isolate_binary;    // "": isolate from PATH
  std::string extractor_binary;  // "": beside the agent's own
  int64_t first_uid = 60000;
  int64_t compile_cache_entries = 64;
  int64_t compile_cache_bytes = 256LL << 20;
  int64_t drain_timeout_millis = 25'000;
  log::Format log_format = log::Format::kJson;
  log::Level log_level = log::Level::kInfo;
};

// `arguments` without the program's name; "--flag value" and "--flag=value" alike. InvalidArgument
// names the flag. Slots and memory default to the machine's CPUs and to half of its memory.
[[nodiscard]] Result<AgentOptions> ParseAgentOptions(const std::vector<std::string>& arguments);
// "10.0.0.1:8443", "[fd00::1]:8443", ":8443" (all addresses).
[[nodiscard]] Result<ListenAddress> ParseListenAddress(const std::string& text);
[[nodiscard]] std::string AgentHelp();

}  // namespace envicutor::agent

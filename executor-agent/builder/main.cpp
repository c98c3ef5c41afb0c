// envicutor-builder: what runs in a builder pod (docs/architecture.md, "A builder pod").

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "common/api/limits.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "executor-agent/builder/builder.h"
#include "executor-agent/builder/cache_collect.h"
#include "executor-agent/store/collector.h"
#include "executor-agent/store/view.h"

namespace envicutor::agent {
namespace {

constexpr char kUsage[] =
    "Usage: envicutor-builder --store DIR --request FILE [--nixpkgs DIR-OR-URL] [options]\n"
    "       envicutor-builder --store DIR --remove HASH\n"
    "       envicutor-builder --store DIR --collect FILE --cache-url URL [options]\n"
    "\n"
    "Builds the environment that FILE asks for into the store volume DIR, or removes one, or "
    "removes "
    "from cache and store what nobody needs.\n"
    "\n"
    "  --store DIR                 the store volume\n"
    "  --request FILE              request.json: {\"hash\", \"environment\"}\n"
    "  --collect FILE              collect.json: {\"live\", \"maxBytes\", \"graceSeconds\"}\n"
    "  --store-max-size QUANTITY   with --collect: of the store volume (20Gi)\n"
    "  --nixpkgs DIR-OR-URL        <nixpkgs> where the request has no pin of its own\n"
    "  --nixpkgs-sha256 HASH       of a --nixpkgs URL\n"
    "  --timeout DURATION          for a build in all, where the request has none (15m)\n"
    "  --memory QUANTITY           heap of the evaluation, where the request has none (2Gi)\n"
    "  --build-memory QUANTITY     of a build in all, where the request has none (4Gi)\n"
    "  --max-silent-time DURATION  a build that says nothing for so long is ended (10m)\n"
    "  --max-log QUANTITY          a build that says more is ended (16Mi)\n"
    "  --max-closure QUANTITY      an environment that is larger is refused (32Gi)\n"
    "  --min-free QUANTITY         builds are ended when the volume has less left (512Mi)\n"
    "  --allow-network             fixed-output derivations have a network with a --nixpkgs DIR "
    "too\n"
    "  --substituters URLS         binary caches, when there is a network "
    "(https://cache.nixos.org)\n"
    "  --trusted-public-keys KEYS  that sign what comes from them\n"
    "  --cache-url URL             the shared binary cache that built environments are published "
    "to\n"
    "  --cache-key-file FILE       Nix's secret key that signs them\n"
    "  --cache-netrc-file FILE     credentials for the cache, when it wants them\n"
    "  --cache-public-keys KEYS    what executors accept; the key's other half is one of them\n"
    "  --doubt-cache               read every byte of what is in the cache already\n"
    "  --publish-timeout DURATION  for publishing in all (10m)\n"
    "  --termination-log FILE      where the result is written (/dev/termination-log)\n"
    "  --help, --version\n"
    "\n"
    "Exit code 0: built (or removed). 1: not; the termination message says why. 2: wrong "
    "arguments.\n";

struct Arguments {
  BuilderOptions options;
  std::string request_file;
  std::string remove;
  std::string collect_file;
  int64_t store_max_bytes = 20LL << 30;
  std::string termination_log = "/dev/termination-log";
};

// Each option that has a value: how it is taken, OK or why not.
std::map<std::string, std::function<Status(const std::string&)>> ValueOptions(
    Arguments* arguments) {
  const auto text = [](std::string* into) {
    return [into](const std::string& value) {
      *into = value;
      return OkStatus();
    };
  };
  const auto words = [](std::vector<std::string>* into) {
    return [into](const std::string& value) {
      std::istringstream stream(value);
      into->assign(std::istream_iterator<std::string>(stream), {});
      return OkStatus();
    };
  };
  const auto number = [](int64_t* into, auto parse, int64_t divisor) {
    return [into, parse, divisor](const std::string& value) -> Status {
      ENVICUTOR_ASSIGN(const int64_t parsed, parse(value));
      if (parsed <= 0) return InvalidArgument("must be more than 0");
      *into = parsed / divisor;
      return OkStatus();
    };
  };
  BuilderOptions& options = arguments->options;
  const auto duration = [](const std::string& value) { return api::ParseDurationMillis(value); };
  const auto quantity = [](const std::string& value) { return api::ParseQuantity(value); };
  return {
      {"--store", text(&options.store_root)},
      {"--request", text(&arguments->request_file)},
      {"--remove", text(&arguments->remove)},
      {"--collect", text(&arguments->collect_file)},
      {"--store-max-size", number(&arguments->store_max_bytes, quantity, 1)},
      {"--nixpkgs", text(&options.nixpkgs)},
      {"--nixpkgs-sha256", text(&options.nixpkgs_sha256)},
      {"--substituters", text(&options.substituters)},
      {"--trusted-public-keys", text(&options.trusted_public_keys)},
      {"--cache-url", text(&options.cache.url)},
      {"--cache-key-file", text(&options.cache.key_file)},
      {"--cache-netrc-file", text(&options.cache.netrc_file)},
      {"--cache-public-keys", words(&options.cache.public_keys)},
      {"--publish-timeout", number(&options.cache.timeout_millis, duration, 1)},
      {"--termination-log", text(&arguments->termination_log)},
      {"--timeout", number(&options.timeout_millis, duration, 1)},
      {"--max-silent-time", number(&options.max_silent_seconds, duration, 1000)},
      {"--memory", number(&options.evaluation_memory_bytes, quantity, 1)},
      {"--build-memory", number(&options.memory_bytes, quantity, 1)},
      {"--max-log", number(&options.max_log_bytes, quantity, 1)},
      {"--max-closure", number(&options.max_closure_bytes, quantity, 1)},
      {"--min-free", number(&options.min_free_bytes, quantity, 1)},
  };
}

Status Parse(int argc, char** argv, Arguments* arguments) {
  const auto options = ValueOptions(arguments);
  for (int i = 1; i < argc; ++i) {
    std::string name = argv[i];
    std::string value;
    if (name == "--allow-network" || name == "--doubt-cache") {
      (name == "--doubt-cache" ? arguments->options.cache.doubt : arguments->options.network) =
          true;
      continue;
    }
    const size_t equals = name.find('=');
    const bool attached = equals != std::string::npos;
    if (attached) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    }
    const auto option = options.find(name);
    if (option == options.end()) return InvalidArgument("unknown argument " + name);
    if (!attached) {
      if (++i >= argc) return InvalidArgument(name + " needs a value");
      value = argv[i];
    }
    if (const Status status = option->second(value); !status.ok()) return status.WithContext(name);
  }
  const BuilderOptions& parsed = arguments->options;
  if (parsed.store_root.empty() || parsed.store_root.front() != '/') {
    return InvalidArgument("--store needs an absolute folder");
  }
  if (!arguments->remove.empty()) return OkStatus();
  if (!arguments->collect_file.empty()) {
    return parsed.cache.url.empty() ? InvalidArgument("--collect needs --cache-url") : OkStatus();
  }
  if (arguments->request_file.empty()) return InvalidArgument("--request or --remove is needed");
  if (!parsed.nixpkgs.empty() && parsed.nixpkgs.find("://") == std::string::npos &&
      parsed.nixpkgs.front() != '/') {
    return InvalidArgument("--nixpkgs needs an absolute folder or a URL");
  }
  return OkStatus();
}

// The file is a mount point in a pod: written in place, not renamed over.
void WriteTerminationMessage(const std::string& path, const std::string& message) {
  if (path.empty()) return;
  std::FILE* const file = std::fopen(path.c_str(), "we");
  if (file == nullptr) {
    log::Warn("the termination message cannot be written", {{"file", path}});
    return;
  }
  const bool written = std::fwrite(message.data(), 1, message.size(), file) == message.size();
  if (std::fclose(file) != 0 || !written) {
    log::Warn("the termination message is incomplete", {{"file", path}});
  }
}

BuildReport Run(const Arguments& arguments, LogTail* log) {
  BuildReport report;
  if (!arguments.remove.empty()) {
    const Status status = RemoveEnvironment(arguments.options, arguments.remove);
    report.outcome = status.ok() ? BuildOutcome::kBuilt : BuildOutcome::kInternalError;
    report.message = status.ok() ? "removed" : status.message();
    report.environment.hash = arguments.remove;
    return report;
  }
  const Result<std::string> text = ReadFile(arguments.request_file, 4U << 20U);
  if (!text.ok()) {
    report.message = text.status().message();
    return report;
  }
  const Result<BuildRequest> request = ParseBuildRequest(*text);
  if (!request.ok()) {
    // The operator's check is the same: a request that fails here is a mistake in the spec.
    report.outcome = BuildOutcome::kEvaluationFailed;
    report.message = request.status().message();
    return report;
  }
  return BuildEnvironment(arguments.options, *request, log);
}

std::string NetrcOf(const CacheSettings& cache) {
  if (cache.netrc_file.empty()) return "";
  const Result<std::string> netrc = ReadFile(cache.netrc_file, 64U << 10U);
  return netrc.ok() ? *netrc : "";
}

Result<Collection> Collect(const Arguments& arguments, LogTail* log) {
  const BuilderOptions& options = arguments.options;
  ENVICUTOR_ASSIGN(const std::string text, ReadFile(arguments.collect_file, 4U << 20U));
  ENVICUTOR_ASSIGN(const CollectRequest request, ParseCollectRequest(text));
  // The store first: what a build needs again it has from the cache.
  const std::string scratch = options.store_root + "/collect";
  CollectorOptions store;
  store.store_root = options.store_root;
  store.scratch_dir = scratch;
  store.max_bytes = arguments.store_max_bytes;
  store.may_fetch_again = true;
  std::set<std::string> live;
  for (const auto& [hash, root] : request.live) {
    if (root.pinned) live.insert(hash);
  }
  const Result<Collected> collected = Collector(store).Collect(live, false);
  if (const Status status = RemoveTree(scratch); !status.ok()) log->Note(status.message());
  log->Note("envicutor-builder: store: " +
            (collected.ok()
                 ? std::to_string(collected->removed.size()) + " environments removed, " +
                       api::FormatQuantity(collected->bytes) + " there"
                 : collected.status().message()));
  ENVICUTOR_ASSIGN(const std::unique_ptr<CacheFiles> files,
                   NewCacheFiles(options.cache.url, NetrcOf(options.cache)));
  Result<Collection> result = CollectCache(*files, request, options.cache.public_keys);
  if (result.ok() && collected.ok()) {
    result->store_environments = static_cast<int64_t>(collected->removed.size());
  }
  return result;
}

int Main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      std::cout << kUsage;
      return 0;
    }
    if (argument == "--version") {
      std::cout << "envicutor-builder " << ENVICUTOR_VERSION << "\n";
      return 0;
    }
  }
  log::Configure("builder", log::Level::kInfo, log::Format::kJson);
  Arguments arguments;
  if (const Status status = Parse(argc, argv, &arguments); !status.ok()) {
    std::cerr << "envicutor-builder: " << status.message() << "\n\n" << kUsage;
    BuildReport report;
    report.message = "envicutor-builder was started wrongly: " + status.message();
    WriteTerminationMessage(arguments.termination_log, TerminationMessage(report));
    return 2;
  }
  ::umask(022);
  constexpr size_t kKeptLogBytes = 64U << 10U;
  LogTail log(STDOUT_FILENO, kKeptLogBytes);
  if (!arguments.collect_file.empty()) {
    const Result<Collection> collection = Collect(arguments, &log);
    const std::string message = CollectionMessage(collection);
    log.Note("envicutor-builder: " + message);
    WriteTerminationMessage(arguments.termination_log, message);
    return collection.ok() ? 0 : 1;
  }
  const BuildReport report = Run(arguments, &log);
  WriteTerminationMessage(arguments.termination_log, TerminationMessage(report));
  return report.outcome == BuildOutcome::kBuilt ? 0 : 1;
}

}  // namespace
}  // namespace envicutor::agent

int main(int argc, char** argv) { return envicutor::agent::Main(argc, argv); }

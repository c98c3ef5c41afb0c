// envicutor-operator: flags and signals around RunOperator.
#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "common/base/log.h"
#include "common/metrics/metrics.h"
#include "operator/app.h"
#include "operator/live_options.h"

namespace {

constexpr int kUsage = 2;
constexpr const char* kHelp = R"(Usage: envicutor-operator --config FILE [--kubeconfig FILE]
       envicutor-operator --check-config FILE

Runs Submissions on executors, builds Runtimes, keeps ExecutorPools.

  --config FILE        configuration (YAML; docs/configuration.md); read again when it changes and
                       at SIGHUP
  --check-config FILE  check a configuration, list every mistake, and exit: 0 good, 1 not
  --kubeconfig FILE    the API server; else the configuration's, $KUBECONFIG, in-cluster, ~/.kube/config
  --version            print the version
  --help               print this text
)";

struct Flags {
  std::string config;
  std::string check_config;
  std::string kubeconfig;
};

int Complain(const std::string& what) {
  std::fprintf(stderr, "envicutor-operator: %s\nSee envicutor-operator --help.\n", what.c_str());
  return kUsage;
}

// "--name VALUE" or "--name=VALUE". False when args[*i] is another flag.
bool Take(const std::vector<std::string>& args, size_t* i, const std::string& name,
          std::string* value, bool* missing) {
  const std::string& arg = args[*i];
  if (arg.rfind(name + "=", 0) == 0) {
    *value = arg.substr(name.size() + 1);
  } else if (arg == name) {
    if (*i + 1 >= args.size()) {
      *missing = true;
      return true;
    }
    *value = args[++*i];
  } else {
    return false;
  }
  *missing = value->empty();
  return true;
}

int CheckConfig(const std::string& path) {
  const envicutor::Result<envicutor::op::Options> options = envicutor::op::LoadOptions(path);
  if (!options.ok()) {
    std::fprintf(stderr, "%s is not valid:\n%s\n", path.c_str(),
                 options.status().message().c_str());
    return 1;
  }
  std::printf("%s is valid\n", path.c_str());
  return 0;
}

int Run(const Flags& flags) {
  const envicutor::Result<std::string> text = envicutor::op::ReadOptionsText(flags.config);
  envicutor::Result<envicutor::op::Options> options =
      text.ok() ? envicutor::op::ParseOptions(*text) : text.status();
  if (!options.ok()) {
    std::fprintf(stderr, "%s is not valid:\n%s\n", flags.config.c_str(),
                 options.status().message().c_str());
    return 1;
  }
  envicutor::log::Configure("operator", options->log_level, options->log_format);

  // Before any thread, so that all inherit it; one thread waits for the signals.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  envicutor::metrics::Registry registry;
  const envicutor::metrics::ConfigMetrics config_metrics(&registry);
  config_metrics.last_reload_successful.Set(1);
  envicutor::op::LiveOptions live(*std::move(options), flags.kubeconfig);
  const auto level = live.OnChange(
      [](const envicutor::op::Options& now) { envicutor::log::SetLevel(now.log_level); });
  envicutor::op::ConfigWatcher watcher(live, flags.config, *text, [&config_metrics](bool good) {
    config_metrics.reloads_total.With({good ? "success" : "failure"}).Increment();
    config_metrics.last_reload_successful.Set(good ? 1 : 0);
  });
  std::stop_source stop;
  std::jthread waiter([&signals, &stop, &watcher] {
    int received = 0;
    while (sigwait(&signals, &received) == 0 && received == SIGHUP) watcher.Reload();
    if (received != SIGUSR1)
      envicutor::log::Info("stopping", {{"signal", std::to_string(received)}});
    stop.request_stop();
  });
  const envicutor::Status status = envicutor::op::RunOperator(live, registry, stop.get_token());
  pthread_kill(waiter.native_handle(), SIGUSR1);  // it may have ended by itself
  waiter.join();
  if (status.ok()) return 0;
  envicutor::log::Error("the operator ended", {{"error", status.ToString()}});
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv + 1, argv + argc);
  Flags flags;
  for (size_t i = 0; i < args.size(); ++i) {
    bool missing = false;
    if (args[i] == "--help" || args[i] == "-h") {
      std::fputs(kHelp, stdout);
      return 0;
    }
    if (args[i] == "--version") {
      std::printf("envicutor-operator %s\n", ENVICUTOR_VERSION);
      return 0;
    }
    const bool known = Take(args, &i, "--config", &flags.config, &missing) ||
                       Take(args, &i, "--check-config", &flags.check_config, &missing) ||
                       Take(args, &i, "--kubeconfig", &flags.kubeconfig, &missing);
    if (!known) return Complain("unknown argument \"" + args[i] + "\"");
    if (missing) return Complain(args[i] + " needs a value");
  }
  if (!flags.check_config.empty()) return CheckConfig(flags.check_config);
  if (flags.config.empty()) return Complain("--config is required");
  return Run(flags);
}

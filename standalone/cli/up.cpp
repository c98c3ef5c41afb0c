// `envicutor up`.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <thread>

#include "common/base/file.h"
#include "common/base/log.h"
#include "standalone/cli/bootstrap.h"
#include "standalone/cli/command.h"
#include "standalone/node/adoption.h"

namespace envicutor::standalone {
namespace {

constexpr int kPreferredApiPort = 6443;
constexpr int kPreferredProbesPort = 8081;
constexpr int kPreferredMetricsPort = 9464;

// `port` if it is free on 127.0.0.1 now, else any free one; 0 when `must` and it is not.
int64_t FreePort(int64_t port, bool must) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  const auto bind = [&] {
    return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
           ::listen(fd.get(), 1) == 0;
  };
  if (bind()) return port;
  if (must) return 0;
  address.sin_port = 0;
  socklen_t length = sizeof(address);
  if (!bind() || ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    return 0;
  }
  return ntohs(address.sin_port);
}

Status PlanPorts(const UpOptions& options, const DataDir& data, UpPlan* plan) {
  int64_t wanted = options.port;
  if (wanted == 0) {
    // The port of the last time, so that kubeconfigs stay good.
    const Result<std::string> last = ReadFile(data.root + "/port", 64);
    if (last.ok()) std::from_chars(last->data(), last->data() + last->size(), wanted);
    if (wanted < 1 || wanted > 65535) wanted = kPreferredApiPort;
  }
  plan->api_port = FreePort(wanted, options.port != 0);
  if (plan->api_port == 0) {
    return FailedPrecondition("port " + std::to_string(wanted) +
                              " is in use: choose another with --port");
  }
  ENVICUTOR_RETURN_IF_ERROR(
      WriteFileAtomic(data.root + "/port", std::to_string(plan->api_port) + "\n"));
  plan->probes_address = "127.0.0.1:" + std::to_string(FreePort(kPreferredProbesPort, false));
  plan->metrics_address = "127.0.0.1:" + std::to_string(FreePort(kPreferredMetricsPort, false));
  return OkStatus();
}

Result<UpPlan> MakePlan(const UpOptions& options, const DataDir& data) {
  if (::geteuid() != 0) {
    return FailedPrecondition(
        "envicutor up needs root: sandboxes are made of namespaces, mounts and "
        "control groups");
  }
  for (const char* part : {"envicutor-operator", "envicutor-executor-agent", "envicutor-builder",
                           "envicutor-pod-init"}) {
    if (::access((BinDir() + "/" + part).c_str(), X_OK) != 0) {
      return FailedPrecondition(std::string(part) + " is not beside envicutor in " + BinDir());
    }
  }
  UpPlan plan;
  ENVICUTOR_ASSIGN(plan.mode, DecideMode(options.node));
  if (plan.mode.mode == NodeMode::kHost && !plan.mode.groups && !options.allow_degraded) {
    return FailedPrecondition("--node host: " + plan.mode.explanation +
                              ". Use --node uml, or --allow-degraded");
  }
  ENVICUTOR_ASSIGN(plan.sandbox, DecideSandbox(options.sandbox));
  PlanExecutors(options, HostCpus(), HostMemoryBytes(), &plan);
  ENVICUTOR_RETURN_IF_ERROR(PlanPorts(options, data, &plan));
  return plan;
}

int TellRunning(const UpOptions& options, const DataDir& data) {
  const Result<RunRecord> record = ReadRunRecord(data);
  if (record.ok()) {
    std::printf("already running (pid %d, API server on port %lld)\n", record->supervisor.pid,
                static_cast<long long>(record->api_port));
  } else {
    std::printf("another envicutor works in %s\n", data.root.c_str());
    return 1;
  }
  if (!options.kubeconfig.empty()) {
    const Result<std::string> text = ReadFile(data.Kubeconfig());
    if (!text.ok()) return Fail(text.status());
    if (const Status s = WriteFileAtomic(options.kubeconfig, *text, 0600); !s.ok()) return Fail(s);
  }
  std::printf("export KUBECONFIG=%s\n", data.Kubeconfig().c_str());
  return 0;
}

void TellNext(const UpOptions& options, const DataDir& data) {
  const std::string kubeconfig =
      options.kubeconfig.empty() ? data.Kubeconfig() : options.kubeconfig;
  std::printf(
      "\nEnvicutor is ready. Try:\n\n"
      "  export KUBECONFIG=%s\n"
      "  kubectl get executorpools,runtimes\n"
      "  kubectl apply -f docs/examples/runtimes\n"
      "  kubectl wait --for=condition=Ready runtime --all --timeout=10m\n"
      "  envicutor run docs/examples/hello.py\n\n",
      kubeconfig.c_str());
  std::fflush(stdout);
}

// The supervisor's process from here on. `report`: a pipe to the process that the user waits for,
// or -1; it gets one byte, the exit code, when all is ready or has failed.
int Supervise(const UpOptions& options, const DataDir& data, UniqueFd report) {
  SystemClock clock;
  RunRecord record;
  record.supervisor = {::getpid(), StartTicks(::getpid()).value_or(0)};
  std::mutex record_mutex;  // written by Run's thread and by the bootstrap's
  const auto write_record = [&] {
    const Status written = WriteRunRecord(data, record);
    if (!written.ok()) log::Warn("cannot write the record", {{"error", written.ToString()}});
  };
  Supervisor supervisor(clock, [&](const std::vector<RunningChild>& children) {
    const std::lock_guard lock(record_mutex);
    record.children = children;
    write_record();
  });
  supervisor.Prepare();

  const UniqueFd lock = TryLock(data);
  if (!lock.valid()) return TellRunning(options, data);
  CleanUpAfterDead(data);
  Result<UpPlan> plan = MakePlan(options, data);
  if (!plan.ok()) return Fail(plan.status());
  record.api_port = plan->api_port;
  record.metrics_address = plan->metrics_address;
  record.mode = plan->mode.mode == NodeMode::kUml ? "uml" : "host";
  record.explanation = plan->mode.explanation;
  record.sandbox = plan->sandbox;
  record.slots = plan->slots;
  write_record();
  std::printf("Envicutor %s in %s\n    %s\n    %lld slot(s), sandbox %s\n", ENVICUTOR_VERSION,
              data.root.c_str(), plan->mode.explanation.c_str(),
              static_cast<long long>(plan->slots), plan->sandbox.c_str());
  std::fflush(stdout);

  Bootstrap bootstrap(options, data, *plan, supervisor, clock);
  std::atomic<bool> failed = false;
  std::jthread starter([&](std::stop_token stop) {
    const Status status = bootstrap.Run(stop);
    if (status.ok()) {
      {
        const std::lock_guard record_lock(record_mutex);
        record.ready = true;
        write_record();
      }
      TellNext(options, data);
    } else if (status.code() != Code::kCancelled) {
      bootstrap.progress().Failed(status.message());
      failed = true;
      supervisor.RequestStop();
    }
    if (report.valid()) {
      const char code = status.ok() ? 0 : 1;
      (void)!::write(report.get(), &code, 1);
      report.reset();
      // The user's terminal is not ours any more.
      const UniqueFd own(::open((data.Logs() + "/up.log").c_str(),
                                O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
      if (own.valid()) {
        ::dup2(own.get(), 1);
        ::dup2(own.get(), 2);
      }
    }
  });
  supervisor.Run();
  starter.request_stop();
  starter.join();
  CleanUpAfterDead(data);
  // Of a node that was killed and not there any more when all was stopped.
  (void)EndLeftoverPods(data.root);
  if (!options.detach) std::puts("stopped");
  return failed ? 1 : 0;
}

// `output`: "", or how to print what runs, in place of the progress (which goes to stderr).
int Detach(const UpOptions& options, const DataDir& data, const std::string& output) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return Fail(ErrnoStatus(errno, "pipe2"));
  const pid_t pid = ::fork();  // before any thread
  if (pid < 0) return Fail(ErrnoStatus(errno, "fork"));
  if (pid == 0) {
    ::close(pipe[0]);
    ::setsid();
    const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    ::dup2(null.get(), 0);
    if (!output.empty()) ::dup2(2, 1);
    const int code = Supervise(options, data, UniqueFd(pipe[1]));
    std::fflush(stdout);
    // When it ends before it was ready, the parent sees the pipe close and takes our code.
    ::_exit(code);
  }
  ::close(pipe[1]);
  const UniqueFd report(pipe[0]);
  char code = 0;
  ssize_t length = 0;
  while ((length = ::read(report.get(), &code, 1)) < 0 && errno == EINTR) {
  }
  if (length == 1 && code == 0) {
    return output.empty() ? 0 : StatusCommand({"--data-dir", options.data_dir, "--output", output});
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

int UpCommand(const Arguments& argv) {
  UpOptions options;
  options.data_dir = kDefaultDataDir;
  Flags flags("up [flags]",
              "Runs everything on this machine: an API server on a SQLite file, the operator and a "
              "node for executors.");
  flags.Examples({"envicutor up --detach", "envicutor up --data-dir ./data --slots 4"});
  flags.String("data-dir", &options.data_dir, "DIR", "where everything is kept");
  flags.String("kubeconfig", &options.kubeconfig, "FILE",
               "write a kubeconfig here, besides DIR/kubeconfig");
  flags.Int("port", &options.port, "the API server's port; the last one, 6443 or any free one");
  flags.String("node", &options.node, "auto|host|uml",
               "where executors run; auto takes uml where the host delegates no cgroup v2");
  flags.Int("slots", &options.slots, "programs at once; the number of CPUs");
  flags.String("sandbox", &options.sandbox, "auto|isolate|native", "which sandbox");
  flags.Bool("allow-degraded", &options.allow_degraded,
             "run without control groups, with approximate limits");
  flags.Bool("detach", &options.detach, "return when all is ready; `envicutor down` stops it");
  std::string output;
  flags.String("output", &output, "json|yaml", "with --detach: print what runs, as status does",
               'o');
  int exit_code = 0;
  if (ParsedToEnd(flags, argv, &exit_code)) return exit_code;
  if (const Status checked = CheckUpOptions(options); !checked.ok()) {
    std::fprintf(stderr, "error: %s\n", checked.message().c_str());
    return 2;
  }
  Status printing = CheckOutput(output);
  if (printing.ok() && !output.empty() && !options.detach) {
    printing = InvalidArgument("--output needs --detach: in the foreground it prints progress");
  }
  if (!printing.ok()) {
    std::fprintf(stderr, "error: %s\n", printing.message().c_str());
    return 2;
  }
  ::umask(022);
  log::Configure("up", log::Level::kWarn, log::Format::kText);
  const DataDir data{options.data_dir};
  if (const Status made = data.Make(); !made.ok()) return Fail(made);
  return options.detach ? Detach(options, data, output) : Supervise(options, data, UniqueFd());
}

}  // namespace envicutor::standalone

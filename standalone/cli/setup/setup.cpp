// `envicutor setup`: what the Helm chart's Jobs run.
#include "common/base/log.h"
#include "common/kube/resource.h"
#include "standalone/cli/command.h"
#include "standalone/cli/setup/objects.h"
#include "standalone/cli/setup/secrets.h"
#include "standalone/cli/signals.h"

namespace envicutor::standalone {
namespace {

constexpr std::chrono::seconds kTypesPatience{120};
constexpr std::chrono::seconds kRemovePatience{180};
constexpr int64_t kMaxHours = int64_t{10} * 365 * 24;

struct SetupFlags {
  std::string kubeconfig;
  std::string ns = "envicutor-system";
  std::string executor_ns = "envicutor-executors";
  bool tls = false;
  int64_t validity_hours = 2160;
  int64_t renew_before_hours = 720;
  CacheSecrets cache{.key_secret = "envicutor-cache-key", .key_name = "", .host = ""};
  bool label_namespace = false;
  std::string release;
  std::string objects;
  bool remove = false;
};

Status CheckHours(const std::string& flag, int64_t hours) {
  if (hours >= 1 && hours <= kMaxHours) return OkStatus();
  return InvalidArgument(flag + ": " + std::to_string(hours) + " is not between 1 and " +
                         std::to_string(kMaxHours));
}

Status Check(const SetupFlags& flags) {
  ENVICUTOR_RETURN_IF_ERROR(CheckHours("--validity-hours", flags.validity_hours));
  ENVICUTOR_RETURN_IF_ERROR(CheckHours("--renew-before-hours", flags.renew_before_hours));
  if (flags.release.empty() && (flags.remove || !flags.objects.empty())) {
    return InvalidArgument("--release is needed with --objects and --remove");
  }
  return OkStatus();
}

Status LabelNamespace(kube::Client& client, const std::string& ns) {
  Json labels = Json::object();
  for (const char* mode : {"enforce", "audit", "warn"}) {
    labels[std::string("pod-security.kubernetes.io/") + mode] = "restricted";
  }
  const Status patched = client
                             .Patch(kube::kNamespaces, "", ns, kube::PatchType::kMerge,
                                    {{"metadata", {{"labels", labels}}}})
                             .status();
  return patched.ok() ? patched : patched.WithContext("Namespace " + ns);
}

Status Run(const SetupFlags& flags, kube::Client& client, std::stop_token stop) {
  if (flags.remove) {
    Status removed = RemovePools(client, flags.release, flags.executor_ns, kRemovePatience, stop);
    // An operator that is down must not keep a release from being uninstalled.
    if (removed.code() != Code::kDeadlineExceeded) return removed;
    log::Warn("uninstalling goes on", {{"left", removed.message()}});
    return OkStatus();
  }
  const SecretNames names{flags.ns, flags.executor_ns};
  if (flags.tls) {
    const CertificateTimes times{std::chrono::hours(flags.validity_hours),
                                 std::chrono::hours(flags.renew_before_hours)};
    ENVICUTOR_RETURN_IF_ERROR(EnsureCertificates(client, names, times, SystemClock().WallNow()));
  }
  ENVICUTOR_RETURN_IF_ERROR(EnsureCacheSecrets(client, names, flags.cache));
  if (flags.label_namespace) ENVICUTOR_RETURN_IF_ERROR(LabelNamespace(client, flags.ns));
  if (flags.objects.empty()) return OkStatus();
  ENVICUTOR_ASSIGN(const std::vector<Json> objects, LoadObjects(flags.objects));
  return ApplyObjects(client, flags.release, objects, kTypesPatience, stop);
}

}  // namespace

int SetupCommand(const Arguments& argv) {
  SetupFlags values;
  Flags flags("setup [flags]",
              "Prepares a cluster, as the Helm chart's Jobs do: certificates, the cache's key and "
              "password, ExecutorPools and Runtimes. What is there already is kept.");
  flags.String("kubeconfig", &values.kubeconfig, "FILE", "which API server");
  flags.String("namespace", &values.ns, "NS", "the operator's namespace", 'n');
  flags.String("executor-namespace", &values.executor_ns, "NS", "of executor and builder pods");
  flags.Bool("tls", &values.tls, "make and renew the certificates of operator and agents");
  flags.Int("validity-hours", &values.validity_hours, "how long a certificate is good for");
  flags.Int("renew-before-hours", &values.renew_before_hours,
            "a certificate is renewed when less is left");
  flags.String("cache-key", &values.cache.key_name, "NAME",
               "make the cache's signing key, with this name in it");
  flags.String("cache-key-secret", &values.cache.key_secret, "NAME", "the Secret it is in");
  flags.String("cache-host", &values.cache.host, "HOST",
               "make a password for who publishes to this cache");
  flags.Bool("label-namespace", &values.label_namespace,
             "label the operator's namespace for Pod Security's profile restricted");
  flags.String("release", &values.release, "NAME", "whose ExecutorPools and Runtimes these are");
  flags.String("objects", &values.objects, "DIR",
               "apply the ExecutorPools and Runtimes in it, delete those that left it");
  flags.Bool("remove", &values.remove,
             "delete the release's ExecutorPools and wait for their pods to end");
  int exit_code = 0;
  if (ParsedToEnd(flags, argv, &exit_code)) return exit_code;
  if (const Status status = Check(values); !status.ok()) return Fail(status);
  log::Configure("setup", log::Level::kInfo, log::Format::kText);
  SignalStop stop;
  Result<Connection> connection = Connect(values.kubeconfig);
  if (!connection.ok()) return Fail(connection.status());
  const Status done = Run(values, *connection->client, stop.token());
  return done.ok() ? 0 : Fail(done);
}

}  // namespace envicutor::standalone

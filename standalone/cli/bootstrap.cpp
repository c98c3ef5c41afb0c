#include "standalone/cli/bootstrap.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "common/base/encoding.h"
#include "common/base/file.h"
#include "common/kube/config.h"
#include "common/kube/resource.h"
#include "standalone/cli/command.h"
#include "standalone/cli/crds.h"
#include "standalone/cli/setup/signing_key.h"
#include "standalone/cli/tool.h"
#include "standalone/node/probe.h"

namespace envicutor::standalone {
namespace {

constexpr char kExecutors[] = "envicutor-executors";
constexpr char kCacheKeySecret[] = "envicutor-cache-key";  // the operator's default
constexpr char kCacheKeyName[] = "envicutor-local-1";
// The C library keeps more freed blocks for each thread: JSON is made and freed by the hundred.
// One pair of runs, on a busy machine and with a larger count, had 14 % less CPU in the operator.
constexpr char kOperatorMalloc[] = "GLIBC_TUNABLES=glibc.malloc.tcache_count=500";
// Fewer for the API server, which has more threads: they may hold 4 MiB each. Two pairs of runs on
// a busy machine had 8 % less CPU in it.
constexpr char kApiServerMalloc[] = "GLIBC_TUNABLES=glibc.malloc.tcache_count=127";
constexpr char kUpAnnotation[] = "envicutor.io/up";
constexpr std::chrono::milliseconds kAskAgain{100};
constexpr int64_t kMaxRestartsInStart = 3;
// What passes by itself, as a second attempt does, is not told.
constexpr std::chrono::seconds kTroubleLasts{3};

Json NamespaceObject(const std::string& name) {
  return {{"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", {{"name", name}}}};
}

// As `kubectl wait` would: until the API server serves it.
bool Established(const Json& crd) { return kube::ConditionStatus(crd, "Established") == "True"; }

// A status may be one that an earlier node left: of a container that is gone, or of one that this
// node takes over. Its agent itself knows.
bool Serves(const Json& pod) {
  constexpr int kProbePort = 8081;
  const std::string address = GetString(At(pod, {"status"}), "podIP");
  return kube::ConditionStatus(pod, "Ready") == "True" && !address.empty() &&
         HttpProber(address).Probe({.path = "/readyz", .port = kProbePort});
}

}  // namespace

Status Bootstrap::WaitFor(const std::string& what, std::chrono::seconds timeout,
                          std::stop_token stop, const std::function<Result<bool>()>& done) {
  const SteadyTime deadline = clock_.Now() + timeout;
  std::mutex mutex;
  std::condition_variable_any changed;
  Status last;
  while (!stop.stop_requested()) {
    const Result<bool> answer = done();
    if (answer.ok() && *answer) return OkStatus();
    if (!answer.ok()) last = answer.status();
    if (last.code() == Code::kFailedPrecondition) return last;
    if (clock_.Now() >= deadline) {
      return Status(Code::kDeadlineExceeded, what + " within " + std::to_string(timeout.count()) +
                                                 " s: not reached" +
                                                 (last.ok() ? "" : ": " + last.message()));
    }
    std::unique_lock lock(mutex);
    changed.wait_for(lock, stop, kAskAgain, [] { return false; });
  }
  return Status(Code::kCancelled, "stopped");
}

Status Bootstrap::StartApiServer(std::stop_token stop) {
  progress_.Step("API server on port " + std::to_string(plan_.api_port));
  const std::string pki = data_.Pki() + "/";
  supervisor_.Add({.name = "apiserver",
                   .argv = {BinDir() + "/envicutor", "apiserver", "--data-dir", data_.ApiServer(),
                            "--port", std::to_string(plan_.api_port), "--tls-cert-file",
                            pki + "apiserver.crt", "--tls-private-key-file", pki + "apiserver.key",
                            "--client-ca-file", pki + "ca.crt"},
                   .log_path = data_.Logs() + "/apiserver.log",
                   .stop_order = 3,
                   .environment = {kApiServerMalloc}});
  ENVICUTOR_ASSIGN(const kube::ClientConfig config, kube::LoadKubeconfig(data_.Kubeconfig()));
  ENVICUTOR_ASSIGN(client_, kube::NewClient(config));
  return WaitFor("the API server ready", std::chrono::seconds(60), stop, [this]() -> Result<bool> {
    if (supervisor_.Restarts("apiserver") >= kMaxRestartsInStart) {
      return FailedPrecondition("the API server does not start: see " + data_.Logs() +
                                "/apiserver.log");
    }
    const Result<std::string> ready = client_->GetRaw("/readyz");
    if (!ready.ok()) return Unavailable(ready.status().message());
    return true;
  });
}

Status Bootstrap::ApplyObjects(std::stop_token stop) {
  progress_.Step("resource types, namespaces, certificates");
  std::vector<std::string> names;
  for (const std::string_view text : EmbeddedCrds()) {
    ENVICUTOR_ASSIGN(const std::vector<Json> documents, ParseYamlDocuments(text));
    for (const Json& crd : documents) {
      const Result<Json> applied = kube::CreateOrPatch(*client_, kube::kCrds, "", crd);
      if (!applied.ok()) return applied.status().WithContext(kube::NameOf(crd));
      names.push_back(kube::NameOf(crd));
    }
  }
  for (const char* name : {"envicutor-system", kExecutors}) {
    const Result<Json> made = client_->Create(kube::kNamespaces, "", NamespaceObject(name));
    if (!made.ok() && made.status().code() != Code::kAlreadyExists) return made.status();
  }
  const Json secret = {
      {"apiVersion", "v1"},
      {"kind", "Secret"},
      {"metadata", {{"name", "envicutor-executor-tls"}, {"namespace", kExecutors}}},
      {"type", "kubernetes.io/tls"},
      {"data",
       {{"tls.crt", Base64Encode(pki_.agent.cert_pem)},
        {"tls.key", Base64Encode(pki_.agent.key_pem)},
        {"ca.crt", Base64Encode(pki_.executor_ca_pem)}}}};
  ENVICUTOR_RETURN_IF_ERROR(
      kube::CreateOrPatch(*client_, kube::kSecrets, kExecutors, secret).status());
  ENVICUTOR_RETURN_IF_ERROR(
      WaitFor("the resource types served", std::chrono::seconds(30), stop, [&]() -> Result<bool> {
        for (const std::string& name : names) {
          ENVICUTOR_ASSIGN(const Json crd, client_->Get(kube::kCrds, "", name));
          if (!Established(crd)) return false;
        }
        return true;
      }));
  return WaitFor("the default ExecutorPool", std::chrono::seconds(30), stop,
                 [this]() -> Result<bool> {
                   ENVICUTOR_RETURN_IF_ERROR(ApplyPool());
                   return true;
                 });
}

// Ours to change as long as nobody else did: what `up` chose is in an annotation.
Status Bootstrap::ApplyPool() {
  Json pool = DefaultPool(plan_);
  const std::string chosen = DumpJson(pool["spec"]);
  pool["metadata"]["annotations"] = {{kUpAnnotation, chosen}};
  const Result<Json> there = client_->Get(kube::kExecutorPools, "", "default");
  if (!there.ok()) {
    if (there.status().code() != Code::kNotFound) return there.status();
    return client_->Create(kube::kExecutorPools, "", pool).status();
  }
  const Json& annotations = At(*there, {"metadata", "annotations"});
  if (GetString(annotations, kUpAnnotation) == chosen) return OkStatus();
  return client_->Patch(kube::kExecutorPools, "", "default", kube::PatchType::kMerge, pool)
      .status();
}

// The pair stays: what was signed with it is in the cache. Only root reads the secret half, here
// and in builder pods.
Status Bootstrap::PrepareCacheKey() {
  // It becomes a URL.
  const bool plain = std::all_of(data_.root.begin(), data_.root.end(), [](char c) {
    return c > ' ' && c < 127 && c != '?' && c != '#' && c != '%' && c != '@';
  });
  if (!plain) {
    progress_.Note("no cache: the name of " + data_.root + " does not fit into a URL");
    return OkStatus();
  }
  const std::string path = data_.Pki() + "/cache";
  Result<std::string> secret = ReadFile(path + ".secret", 4096);
  if (!secret.ok()) {
    if (secret.status().code() != Code::kNotFound) return secret.status();
    ENVICUTOR_ASSIGN(secret, NewSigningKey(kCacheKeyName));
    ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(path + ".secret", *secret, 0600));
  }
  ENVICUTOR_ASSIGN(plan_.cache_public_key, PublicKeyOf(*secret));
  ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(path + ".public", plan_.cache_public_key));
  const Json object = {{"apiVersion", "v1"},
                       {"kind", "Secret"},
                       {"metadata", {{"name", kCacheKeySecret}, {"namespace", kExecutors}}},
                       {"type", "Opaque"},
                       {"data", {{"secret-key", Base64Encode(*secret)}}}};
  return kube::CreateOrPatch(*client_, kube::kSecrets, kExecutors, object).status();
}

void Bootstrap::PrepareNixpkgs(std::stop_token stop) {
  const std::string fetch = BinDir() + "/../share/envicutor/nixpkgs/fetch";
  if (::access(fetch.c_str(), X_OK) != 0) {
    progress_.Note("no offline nixpkgs beside the program: Runtimes must name one of their own");
    return;
  }
  progress_.Step("packages for Runtimes (Debian's, kept in " + data_.Store() + "/nixpkgs)");
  Result<std::string> path =
      RunTool({fetch, data_.Store() + "/nixpkgs"}, data_.Logs() + "/nixpkgs.log", stop);
  if (!path.ok()) {
    progress_.Note("not available, Runtimes cannot be built: " + path.status().message());
    return;
  }
  while (!path->empty() && path->back() == '\n') path->pop_back();
  // As a builder pod sees it: the store is mounted there.
  plan_.nixpkgs = "/var/lib/envicutor/store" + path->substr(data_.Store().size());
}

Status Bootstrap::StartOperatorAndNode() {
  progress_.Step("operator and node");
  ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(
      data_.OperatorYaml(), OperatorYaml(plan_, data_.root, options_.allow_degraded), 0644));
  supervisor_.Add({.name = "operator",
                   .argv = {BinDir() + "/envicutor-operator", "--config", data_.OperatorYaml()},
                   .log_path = data_.Logs() + "/operator.log",
                   .stop_order = 1,
                   .environment = {kOperatorMalloc}});
  supervisor_.Add(
      {.name = "node",
       .argv = {BinDir() + "/envicutor", "node", "--kubeconfig", data_.Pki() + "/node.kubeconfig",
                "--name", plan_.node_name, "--node-mode",
                plan_.mode.mode == NodeMode::kUml ? "uml" : "host", "--data-dir", data_.root},
       .log_path = data_.Logs() + "/node.log",
       .stop_order = 2});
  return OkStatus();
}

Status Bootstrap::WaitForExecutors(std::stop_token stop) {
  progress_.Step("executors");
  std::string trouble_before;
  std::string told;
  SteadyTime trouble_since{};
  return WaitFor("executors ready", std::chrono::seconds(180), stop, [&]() -> Result<bool> {
    for (const char* part : {"operator", "node"}) {
      if (supervisor_.Restarts(part) >= kMaxRestartsInStart) {
        return FailedPrecondition("the " + std::string(part) + " does not start: see " +
                                  data_.Logs() + "/" + part + ".log");
      }
    }
    kube::ListOptions executors;
    executors.label_selector = "app.kubernetes.io/component=executor";
    ENVICUTOR_ASSIGN(const kube::List pods, client_->ListAll(kube::kPods, kExecutors, executors));
    int64_t ready = 0;
    std::string trouble;
    for (const Json& pod : pods.items) {
      const Json& statuses = At(pod, {"status", "containerStatuses"});
      if (statuses.is_array() && !statuses.empty()) {
        if (Serves(pod)) ++ready;
        const Json& waiting = At(statuses[0], {"state", "waiting"});
        const std::string message = GetString(waiting, "message");
        if (!message.empty()) {
          trouble = kube::NameOf(pod) + ": " + GetString(waiting, "reason") + ": " + message;
        }
      }
    }
    progress_.Detail(std::to_string(ready) + " of " + std::to_string(plan_.executors));
    if (ready >= plan_.executors) return true;
    if (trouble != std::exchange(trouble_before, trouble)) trouble_since = clock_.Now();
    if (!trouble.empty() && trouble != told && clock_.Now() - trouble_since >= kTroubleLasts) {
      progress_.Note(trouble);
      told = trouble;
    }
    if (!trouble.empty()) return Unavailable(trouble);
    return false;
  });
}

Status Bootstrap::Run(std::stop_token stop) {
  progress_.Step("certificates");
  ENVICUTOR_ASSIGN(pki_, PreparePki(data_, plan_.node_name, clock_.WallNow()));
  const std::string server = "https://127.0.0.1:" + std::to_string(plan_.api_port);
  ENVICUTOR_RETURN_IF_ERROR(WriteKubeconfigs(data_, pki_, server));
  if (!options_.kubeconfig.empty()) {
    ENVICUTOR_ASSIGN(const std::string text, ReadFile(data_.Kubeconfig()));
    ENVICUTOR_RETURN_IF_ERROR(WriteFileAtomic(options_.kubeconfig, text, 0600));
  }
  ENVICUTOR_RETURN_IF_ERROR(StartApiServer(stop));
  ENVICUTOR_RETURN_IF_ERROR(ApplyObjects(stop));
  ENVICUTOR_RETURN_IF_ERROR(PrepareCacheKey());
  PrepareNixpkgs(stop);
  ENVICUTOR_RETURN_IF_ERROR(StartOperatorAndNode());
  ENVICUTOR_RETURN_IF_ERROR(WaitForExecutors(stop));
  progress_.Done();
  return OkStatus();
}

}  // namespace envicutor::standalone

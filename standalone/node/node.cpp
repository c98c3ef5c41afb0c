#include "standalone/node/node.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <system_error>
#include <tuple>
#include <utility>

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/http/tls.h"
#include "common/kube/informer.h"
#include "standalone/node/adoption.h"
#include "standalone/node/log_server.h"
#include "standalone/node/pod_worker.h"
#include "standalone/node/registration.h"

namespace envicutor::standalone {
namespace {

constexpr std::chrono::seconds kLeasePeriod{10};
constexpr std::chrono::minutes kStatusPeriod{5};
constexpr std::chrono::seconds kRetryPlacement{5};
constexpr std::chrono::hours kLogCertValidity{24 * 365 * 10};  // made at every start
constexpr int64_t kMaxPods = 110;

// Of "https://host:port"; the port of https where none is named.
std::pair<std::string, std::string> HostAndPort(const std::string& url) {
  const size_t scheme = url.find("://");
  const std::string rest = url.substr(scheme == std::string::npos ? 0 : scheme + 3);
  const std::string authority = rest.substr(0, rest.find('/'));
  const size_t colon = authority.rfind(':');
  if (colon == std::string::npos || authority.back() == ']') return {authority, "443"};
  return {authority.substr(0, colon), authority.substr(colon + 1)};
}

// So that no other pod gets the address of a container that still runs.
void ReserveAddresses(NodeContext& context) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(context.pods_dir, error)) {
    const Result<std::string> text = ReadFile(entry.path().string() + "/state.json", 1U << 20U);
    if (!text.ok()) continue;
    const Result<Json> state = ParseJson(*text);
    if (state.ok()) context.addresses.Reserve(static_cast<int>(GetInt(*state, "addressIndex")));
  }
}

class Node {
 public:
  explicit Node(const NodeOptions& options) : options_(options) {}

  Status Run(const std::stop_token& stop) {
    Status ready = Prepare();
    if (ready.ok()) ready = WaitUntilRegistered(stop);
    if (!ready.ok()) {
      context_.groups.Leave();  // but for what containers of a predecessor are in
      return ready;
    }
    const std::stop_callback wake(stop, [this] { Notify(); });
    for (const auto& informer : informers_) informer->Start();
    Loop(stop);
    StopAll();
    return OkStatus();
  }

 private:
  Status Prepare() {
    const std::string base = options_.data_dir + "/node";
    ENVICUTOR_RETURN_IF_ERROR(MakeDirs(base, 0755));
    ENVICUTOR_ASSIGN(lock_, LockNode(base));
    ENVICUTOR_ASSIGN(context_.mode, DecideMode(options_.mode));
    log::Info("node mode", {{"mode", context_.mode.mode == NodeMode::kUml ? "uml" : "host"},
                            {"why", context_.mode.explanation}});
    if (context_.mode.groups) {
      auto groups = PodGroups::Make(base);
      if (groups.ok()) {
        context_.groups = std::move(*groups);
      } else {
        log::Warn("pods get no control groups of the host",
                  {{"error", groups.status().ToString()}});
      }
    }
    ENVICUTOR_ASSIGN(const kube::ClientConfig config, kube::DefaultConfig(options_.kubeconfig));
    ENVICUTOR_ASSIGN(client_, kube::NewClient(config));
    events_ = kube::NewEventRecorder(*client_, "envicutor-node");
    if (context_.mode.mode == NodeMode::kUml) {
      ENVICUTOR_ASSIGN(forwarder_, NewForwarder());
    }
    context_.client = client_.get();
    context_.events = events_.get();
    context_.forwarder = forwarder_.get();
    context_.clock = &clock_;
    context_.node_name = options_.name;
    context_.lock_path = NodeLockPath(base);
    context_.pods_dir = base + "/pods";
    context_.logs_dir = base + "/logs";
    context_.bin_dir = options_.bin_dir;
    context_.host_path_root = options_.host_path_root;
    context_.pod_subnet = static_cast<int>(options_.pod_subnet);
    ENVICUTOR_RETURN_IF_ERROR(MakeDirs(context_.pods_dir, 0700));
    ENVICUTOR_RETURN_IF_ERROR(MakeDirs(context_.logs_dir, 0750));
    ReserveAddresses(context_);
    std::tie(context_.api_host, context_.api_port) = HostAndPort(config.server);
    for (const std::string& ns : {options_.ns, options_.system_ns}) {
      if (ns.empty()) continue;
      informers_.push_back(kube::NewInformer(
          *client_, kube::kPods, {.ns = ns, .label_selector = "", .field_selector = ""}));
      informers_.back()->AddHandler(
          {.on_add = [this](const kube::ObjectPtr& pod) { Seen(pod); },
           .on_update = [this](const kube::ObjectPtr&, const kube::ObjectPtr& pod) { Seen(pod); },
           .on_delete = [this](const kube::ObjectPtr& pod) { Gone(pod); }});
    }
    registration_ = {.name = options_.name,
                     .host_ip = context_.host_ip,
                     .log_port = 0,  // StartLogs'
                     .capacity = {.memory_bytes = HostMemoryBytes(),
                                  .cpu_millis = int64_t{1000} * HostCpus(),
                                  .pods = kMaxPods,
                                  .labels = {{"kubernetes.io/hostname", options_.name},
                                             {"kubernetes.io/os", "linux"},
                                             {"kubernetes.io/arch", "amd64"},
                                             {"envicutor.io/node", "local"}}},
                     .mode = context_.mode};
    return OkStatus();
  }

  // A kube-apiserver asks kubelets over TLS, with any certificate unless it is told a CA for them;
  // Envicutor's own asks over plain HTTP, on loopback.
  Status StartLogs() {
    if (log_server_) return OkStatus();
    ENVICUTOR_ASSIGN(const std::string version, client_->GetRaw("/version"));
    std::optional<http::TlsServerOptions> tls;
    if (version.find("+envicutor-") == std::string::npos) {
      ENVICUTOR_ASSIGN(const http::KeyPair ca,
                       http::NewCa("envicutor-node-ca", clock_.WallNow(), kLogCertValidity));
      http::CertRequest request;
      request.common_name = "system:node:" + options_.name;
      request.ip_addresses = {context_.host_ip};
      request.server = true;
      ENVICUTOR_ASSIGN(const http::KeyPair cert,
                       http::IssueCert(ca, request, clock_.WallNow(), kLogCertValidity));
      tls.emplace();
      tls->cert_pem = cert.cert_pem;
      tls->key_pem = cert.key_pem;
      tls->require_client_cert = false;
    }
    ENVICUTOR_ASSIGN(log_server_, StartLogServer(
                                      context_,
                                      [this](const std::string& ns, const std::string& pod,
                                             const std::string& container) {
                                        return FindLog(ns, pod, container);
                                      },
                                      std::move(tls)));
    registration_.log_port = log_server_->port();
    return OkStatus();
  }

  Status Register() {
    ENVICUTOR_RETURN_IF_ERROR(StartLogs());
    return RegisterNode(*client_, registration_, true, clock_.WallNow());
  }

  Status WaitUntilRegistered(const std::stop_token& stop) {
    Backoff backoff(std::chrono::milliseconds(200), std::chrono::seconds(5));
    while (!stop.stop_requested()) {
      const Status registered = Register();
      if (registered.ok()) {
        log::Info("node registered", {{"name", options_.name}});
        next_status_ = clock_.Now() + kStatusPeriod;
        return OkStatus();
      }
      log::Warn("cannot register the node", {{"error", registered.ToString()}});
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, backoff.Next(), [&] { return stop.stop_requested(); });
    }
    return OkStatus();
  }

  void Seen(const kube::ObjectPtr& pod) {
    const std::lock_guard lock(mutex_);
    news_[kube::KeyOf(*pod)] = pod;
    changed_.notify_all();
  }

  void Gone(const kube::ObjectPtr& pod) {
    const std::lock_guard lock(mutex_);
    gone_.push_back(kube::UidOf(*pod));
    changed_.notify_all();
  }

  void Notify() {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }

  void Loop(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      std::map<std::string, kube::ObjectPtr> news;
      std::vector<std::string> gone;
      {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, std::chrono::seconds(1), [&] {
          return stop.stop_requested() || !news_.empty() || !gone_.empty();
        });
        news.swap(news_);
        gone.swap(gone_);
      }
      for (const std::string& uid : gone) {
        if (const auto it = workers_.find(uid); it != workers_.end()) it->second->Vanished();
      }
      for (const auto& [key, pod] : news) Take(pod);
      PlacePending();
      std::erase_if(workers_, [](const auto& entry) { return entry.second->finished(); });
      if (!cleaned_ && HaveSynced()) RemoveLeftovers();
      Heartbeat();
    }
  }

  [[nodiscard]] bool HaveSynced() const {
    return std::all_of(informers_.begin(), informers_.end(),
                       [](const auto& informer) { return informer->HasSynced(); });
  }

  [[nodiscard]] std::vector<kube::ObjectPtr> AllPods() const {
    std::vector<kube::ObjectPtr> all;
    for (const auto& informer : informers_) {
      const std::vector<kube::ObjectPtr> pods = informer->All();
      all.insert(all.end(), pods.begin(), pods.end());
    }
    return all;
  }

  [[nodiscard]] bool Wants(const Json& pod) const {
    return WantsPlacement(pod, kube::NamespaceOf(pod) == options_.system_ns);
  }

  void Take(const kube::ObjectPtr& pod) {
    if (GetString(At(*pod, {"spec"}), "nodeName") != options_.name) return;
    const std::string uid = kube::UidOf(*pod);
    const auto it = workers_.find(uid);
    if (it != workers_.end()) {
      it->second->Update(pod);
    } else {
      workers_.emplace(uid, std::make_unique<PodWorker>(context_, pod));
    }
  }

  void PlacePending() {
    const SteadyTime now = clock_.Now();
    const std::vector<kube::ObjectPtr> all = AllPods();
    std::vector<kube::ObjectPtr> waiting;
    std::vector<const Json*> occupants;
    for (const kube::ObjectPtr& pod : all) {
      if (Occupies(*pod, options_.name) || placed_.contains(kube::UidOf(*pod))) {
        occupants.push_back(pod.get());
      } else if (Wants(*pod)) {
        waiting.push_back(pod);
      }
    }
    // placed_ bridges the time until the cache shows the binding.
    std::erase_if(placed_, [&](const std::string& uid) {
      return std::none_of(all.begin(), all.end(), [&](const kube::ObjectPtr& pod) {
        return kube::UidOf(*pod) == uid && Wants(*pod);
      });
    });
    std::erase_if(refused_, [&](const auto& entry) {
      return std::none_of(waiting.begin(), waiting.end(), [&](const kube::ObjectPtr& pod) {
        return kube::UidOf(*pod) == entry.first;
      });
    });
    for (const kube::ObjectPtr& pod : waiting) {
      const std::string uid = kube::UidOf(*pod);
      if (const auto it = refused_.find(uid); it != refused_.end() && now < it->second.second)
        continue;
      const Placement placement = Place(*pod, occupants, registration_.capacity);
      if (!placement.fits) {
        Refuse(*pod, placement.message, now);
      } else if (Bind(*pod)) {
        placed_.insert(uid);
        refused_.erase(uid);
        occupants.push_back(pod.get());
      } else {
        refused_[uid] = {"", now + std::chrono::seconds(1)};
      }
    }
  }

  bool Bind(const Json& pod) {
    const std::string name = kube::NameOf(pod);
    const kube::ResourceType binding{"", "v1", "pods/" + name + "/binding", "Binding", true};
    const Json body = {
        {"apiVersion", "v1"},
        {"kind", "Binding"},
        {"metadata", {{"name", name}, {"namespace", kube::NamespaceOf(pod)}}},
        {"target", {{"apiVersion", "v1"}, {"kind", "Node"}, {"name", options_.name}}}};
    const Result<Json> bound = client_->Create(binding, kube::NamespaceOf(pod), body);
    if (!bound.ok()) {
      // Another scheduler may have been quicker: the cache will tell.
      log::Warn("cannot bind a pod", {{"pod", name}, {"error", bound.status().ToString()}});
      return false;
    }
    log::Info("pod bound", {{"pod", name}});
    return true;
  }

  void Refuse(const Json& pod, const std::string& message, SteadyTime now) {
    auto& refused = refused_[kube::UidOf(pod)];
    refused.second = now + kRetryPlacement;
    if (refused.first == message) return;
    refused.first = message;
    Json conditions = At(pod, {"status", "conditions"});
    if (!conditions.is_array()) conditions = Json::array();
    kube::SetCondition(&conditions, {"PodScheduled", "False", "Unschedulable", message, 0},
                       FormatRfc3339(clock_.WallNow()));
    const Result<Json> patched = client_->Patch(
        kube::kPods, kube::NamespaceOf(pod), kube::NameOf(pod), kube::PatchType::kMerge,
        {{"status", {{"phase", "Pending"}, {"conditions", conditions}}}}, "status");
    if (!patched.ok()) refused.first.clear();
  }

  // Containers, folders and groups of pods that the API does not have any more.
  void RemoveLeftovers() {
    cleaned_ = true;
    std::vector<std::string> known;
    for (const kube::ObjectPtr& pod : AllPods()) known.push_back(kube::UidOf(*pod));
    for (const std::string& dir : {context_.pods_dir, context_.logs_dir}) {
      std::error_code error;
      std::vector<std::filesystem::path> stale;
      for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
        const std::string name = entry.path().filename().string();
        const std::string uid = name.substr(name.rfind('_') + 1);
        if (std::find(known.begin(), known.end(), uid) == known.end())
          stale.push_back(entry.path());
      }
      for (const auto& path : stale) {
        if (dir == context_.pods_dir && EndRecorded(path.string())) {
          log::Info("ended a container whose pod went while no node was there",
                    {{"uid", path.filename().string()}});
        }
        std::filesystem::remove_all(path, error);
      }
    }
    context_.groups.RemoveOthers(known);
    context_.addresses.ForgetReserved();
  }

  void Heartbeat() {
    const SteadyTime now = clock_.Now();
    if (now >= next_lease_) {
      const Status renewed = RenewNodeLease(*client_, options_.name, clock_.WallNow());
      if (!renewed.ok())
        log::Warn("cannot renew the node's lease", {{"error", renewed.ToString()}});
      next_lease_ = now + (renewed.ok() ? kLeasePeriod : std::chrono::seconds(1));
    }
    if (now < next_status_) return;
    next_status_ = now + kStatusPeriod;
    const Status reported = RegisterNode(*client_, registration_, true, clock_.WallNow());
    if (!reported.ok()) log::Warn("cannot report the node", {{"error", reported.ToString()}});
  }

  void StopAll() {
    log::Info("stopping", {{"pods", std::to_string(workers_.size())}});
    for (auto& [uid, worker] : workers_) worker->Stop();
    // Each ends its container within its grace.
    for (auto& [uid, worker] : workers_) worker->Join();
    workers_.clear();
    // Of an earlier process of this node, if the API server did not say in time whose they are.
    (void)EndRecordedIn(context_.pods_dir);
    context_.groups.Leave();
    for (const auto& informer : informers_) informer->Stop();
    (void)RegisterNode(*client_, registration_, false, clock_.WallNow());
  }

  Result<LogTarget> FindLog(const std::string& ns, const std::string& pod,
                            const std::string& container) const {
    kube::ObjectPtr object;
    for (const auto& informer : informers_) {
      if (!object) object = informer->Get(ns + "/" + pod);
    }
    if (!object) return NotFound("pod " + ns + "/" + pod + " is not on this node");
    const Json& containers = At(*object, {"spec", "containers"});
    if (!containers.is_array() || containers.empty() ||
        GetString(containers[0], "name") != container) {
      return NotFound("container " + container + " is not in pod " + pod);
    }
    const std::string phase = GetString(At(*object, {"status"}), "phase");
    return LogTarget{PodLogDir(context_, ns, pod, kube::UidOf(*object)) + "/" + container + ".log",
                     phase == "Succeeded" || phase == "Failed"};
  }

  NodeOptions options_;
  SystemClock clock_;
  UniqueFd lock_;
  NodeContext context_;
  Registration registration_;
  std::unique_ptr<kube::Client> client_;
  std::unique_ptr<kube::EventRecorder> events_;
  std::unique_ptr<Forwarder> forwarder_;
  std::vector<std::unique_ptr<kube::Informer>> informers_;  // of one namespace each
  std::unique_ptr<LogServer> log_server_;
  std::map<std::string, std::unique_ptr<PodWorker>> workers_;  // by uid; the loop's own
  std::set<std::string> placed_;
  std::map<std::string, std::pair<std::string, SteadyTime>> refused_;
  SteadyTime next_lease_{};
  SteadyTime next_status_{};
  bool cleaned_ = false;

  std::mutex mutex_;  // guards news_, gone_
  std::condition_variable changed_;
  std::map<std::string, kube::ObjectPtr> news_;
  std::vector<std::string> gone_;
};

}  // namespace

Status RunNode(const NodeOptions& options, std::stop_token stop) { return Node(options).Run(stop); }

}  // namespace envicutor::standalone

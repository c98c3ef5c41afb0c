#include "standalone/apiserver/http/log_proxy.h"

#include <chrono>

namespace envicutor::standalone {
namespace {

constexpr std::chrono::seconds kFollowIdle{4 * 3600};  // a log may be silent for long
constexpr std::chrono::seconds kIdle{30};

// The container asked for, or the only one; an error that lists the choices.
ApiResult<std::string> ContainerOf(const Json& pod, const std::string& name,
                                   const std::string& wanted) {
  std::vector<std::string> names;
  for (const char* list : {"initContainers", "containers"}) {
    for (const Json& container : At(pod, {"spec", list})) {
      names.push_back(GetString(container, "name"));
    }
  }
  if (wanted.empty()) {
    const Json& containers = At(pod, {"spec", "containers"});
    if (containers.size() == 1) return GetString(containers[0], "name");
    std::string choices;
    for (const std::string& choice : names) choices += (choices.empty() ? "" : " ") + choice;
    return BadRequestError("a container name must be specified for pod " + name +
                           ", choose one of: [" + choices + "]");
  }
  for (const std::string& choice : names) {
    if (choice == wanted) return wanted;
  }
  return BadRequestError("container " + wanted + " is not valid for pod " + name);
}

}  // namespace

ApiResult<std::string> LogProxy::NodeUrl(const Json& pod) const {
  const std::string node_name = GetString(At(pod, {"spec"}), "nodeName");
  if (node_name.empty()) {
    return BadRequestError("pod " + NameOf(pod) + " does not have a host assigned");
  }
  const ObjectPtr node = api_->store().Get(std::string(kNodes), node_name);
  if (node == nullptr) return InternalError("node \"" + node_name + "\" is not registered");
  const JsonRef tree = node->Tree();
  const int64_t port = GetInt(At(*tree, {"status", "daemonEndpoints", "kubeletEndpoint"}), "Port");
  for (const Json& address : At(*tree, {"status", "addresses"})) {
    if (GetString(address, "type") == "InternalIP" && port > 0 && port < 65536) {
      return "http://" + GetString(address, "address") + ":" + std::to_string(port);
    }
  }
  return InternalError("node \"" + node_name + "\" has no address that serves logs");
}

std::optional<ApiError> LogProxy::Serve(const std::string& ns, const std::string& name,
                                        const http::ServerRequest& request,
                                        const std::shared_ptr<http::ResponseWriter>& writer) {
  const ResourcePtr pods = api_->registry()->Find("", "v1", "pods");
  const ApiResult<ObjectPtr> pod = api_->Get(*pods, ns, name);
  if (!pod.ok()) return pod.error();
  const JsonRef tree = (*pod)->Tree();
  const ApiResult<std::string> container = ContainerOf(*tree, name, request.Query("container"));
  if (!container.ok()) return container.error();
  const ApiResult<std::string> url = NodeUrl(*tree);
  if (!url.ok()) return url.error();

  struct Slot {
    std::atomic<int>* streams;
    int before;
    explicit Slot(std::atomic<int>* count) : streams(count), before(count->fetch_add(1)) {}
    ~Slot() { streams->fetch_sub(1); }
  };
  const Slot slot(&streams_);
  if (slot.before >= kMaxLogStreams) {
    ApiError busy = ServiceUnavailableError("too many logs are being read");
    busy.code = 429;
    busy.reason = "TooManyRequests";
    return busy;
  }
  http::ClientOptions options;
  options.base_url = *url;
  Result<std::unique_ptr<http::Client>> client = new_client_(options);
  if (!client.ok()) return InternalError(client.status().message());

  http::Request forward;
  forward.target = "/containerLogs/" + http::PercentEncode(ns) + "/" + http::PercentEncode(name) +
                   "/" + http::PercentEncode(*container);
  char separator = '?';
  for (const auto& [key, value] : request.query) {
    if (key == "container") continue;
    forward.target += separator + http::PercentEncode(key) + "=" + http::PercentEncode(value);
    separator = '&';
  }
  // Ends when the client goes away or the server stops.
  auto stop = std::make_shared<std::stop_source>();
  const std::stop_callback on_stop(stop_.get_token(), [stop] { stop->request_stop(); });
  writer->OnClose([stop] { stop->request_stop(); });
  bool started = false;
  const bool follow = request.Query("follow") == "true";
  const auto start = [&] {
    if (!started) writer->StartStream(200, {{"Content-Type", "text/plain"}});
    started = true;
  };
  Result<http::Response> answer = (*client)->Stream(
      forward,
      [&](std::string_view data) {
        start();
        return writer->Write(std::string(data));
      },
      follow ? kFollowIdle : kIdle, stop->get_token());
  if (started) {
    writer->Finish();
    return std::nullopt;
  }
  if (!answer.ok()) {
    return InternalError("reading logs from " + *url + ": " + answer.status().message());
  }
  if (answer->status / 100 != 2) {
    const std::string message = answer->body.substr(0, 1024);
    if (answer->status == 404 || answer->status == 400) return BadRequestError(message);
    return InternalError(message);
  }
  start();
  writer->Finish();
  return std::nullopt;
}

}  // namespace envicutor::standalone

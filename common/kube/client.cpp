#include "common/kube/client.h"

#include <charconv>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <random>
#include <utility>

#include "common/http/client.h"
#include "common/kube/errors.h"
#include "common/kube/object_text.h"
#include "common/kube/pager.h"
#include "common/kube/token.h"
#include "common/kube/watch_decoder.h"
#include "common/metrics/metrics.h"

namespace envicutor::kube {
namespace {

constexpr int kMaxAnswerDepth = 512;  // of JSON: what a server let in can be read in every list
constexpr int kMaxRetries = 3;        // after 429 or 503 with Retry-After
constexpr std::chrono::seconds kMaxRetryAfter{10};  // longer advice is cut to this
constexpr std::chrono::seconds kWatchSlack{30};  // the server ends a watch, we only if it does not

// "https://host:port/prefix" -> the origin and "/prefix".
std::pair<std::string, std::string> SplitServer(const std::string& server) {
  const size_t scheme = server.find("://");
  const size_t slash = scheme == std::string::npos ? scheme : server.find('/', scheme + 3);
  if (slash == std::string::npos) return {server, ""};
  std::string prefix = server.substr(slash);
  while (prefix.ends_with('/')) prefix.pop_back();
  return {server.substr(0, slash), prefix};
}

const char* ContentTypeOf(PatchType type) {
  switch (type) {
    case PatchType::kJson:
      return "application/json-patch+json";
    case PatchType::kMerge:
      return "application/merge-patch+json";
    case PatchType::kStrategicMerge:
      return "application/strategic-merge-patch+json";
  }
  return "";
}

void DropManagedFields(Json& object) {
  if (auto metadata = object.find("metadata"); metadata != object.end() && metadata->is_object()) {
    metadata->erase("managedFields");
  }
}

std::string Selectors(const std::string& labels, const std::string& fields) {
  std::string query;
  if (!labels.empty()) query += "&labelSelector=" + http::PercentEncode(labels);
  if (!fields.empty()) query += "&fieldSelector=" + http::PercentEncode(fields);
  return query;
}

int RandomWatchSeconds() {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::uniform_int_distribution<>(300, 600)(random);
}

class HttpClient final : public Client, public Pager {
 public:
  HttpClient(std::unique_ptr<http::Client> http, std::string host, std::string prefix,
             const ClientConfig& config, metrics::Registry* registry)
      : http_(std::move(http)),
        host_(std::move(host)),
        prefix_(std::move(prefix)),
        token_(config.bearer_token, config.bearer_token_file, clock_),
        metrics_(registry) {}

  ~HttpClient() override {
    const std::scoped_lock lock(mutex_);
    closing_ = true;
    wake_.notify_all();
  }
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  Result<Json> Get(const ResourceType& type, const std::string& ns,
                   const std::string& name) override {
    return Object({"GET", type.Path(ns, name), {}, ""});
  }

  Result<List> ListAll(const ResourceType& type, const std::string& ns,
                       const ListOptions& options) override {
    Result<List> list = ListPages(type, ns, options, options.page_size);
    // The list's snapshot was compacted between two pages: take it in one piece.
    if (!list.ok() && list.status().code() == Code::kExpired)
      return ListPages(type, ns, options, 0);
    return list;
  }

  Result<Page> ListPage(const ResourceType& type, const std::string& ns, const ListOptions& options,
                        const std::string& next) override {
    std::string target = type.Path(ns) + "?" + "limit=" + std::to_string(options.page_size);
    if (!next.empty()) target += "&continue=" + http::PercentEncode(next);
    target += Selectors(options.label_selector, options.field_selector);
    ENVICUTOR_ASSIGN(Json answer, Object({"GET", std::move(target), {}, ""}, options.stop));
    Page page;
    page.list.resource_version = ResourceVersionOf(answer);
    page.next = GetString(At(answer, {"metadata"}), "continue");
    const auto items = answer.find("items");
    if (items == answer.end() || !items->is_array()) return page;
    page.list.items.reserve(items->size());
    for (Json& item : *items) {
      if (!item.is_object()) continue;
      item["apiVersion"] = type.ApiVersion();
      item["kind"] = type.kind;
      DropManagedFields(item);
      page.list.items.push_back(std::move(item));
    }
    return page;
  }

  Result<Json> Create(const ResourceType& type, const std::string& ns,
                      const Json& object) override {
    return Object(WithBody("POST", type.Path(ns), "application/json", object));
  }

  Result<Json> Update(const ResourceType& type, const Json& object,
                      const std::string& subresource) override {
    return Object(WithBody("PUT", type.Path(NamespaceOf(object), NameOf(object), subresource),
                           "application/json", object));
  }

  Result<std::string> CreateForVersion(const ResourceType& type, const std::string& ns,
                                       const Json& object) override {
    return Version(WithBody("POST", type.Path(ns), "application/json", object));
  }

  Result<std::string> UpdateForVersion(const ResourceType& type, const Json& object,
                                       const std::string& subresource) override {
    return Version(WithBody("PUT", type.Path(NamespaceOf(object), NameOf(object), subresource),
                            "application/json", object));
  }

  Result<Json> Patch(const ResourceType& type, const std::string& ns, const std::string& name,
                     PatchType patch_type, const Json& patch,
                     const std::string& subresource) override {
    return Object(
        WithBody("PATCH", type.Path(ns, name, subresource), ContentTypeOf(patch_type), patch));
  }

  Status Delete(const ResourceType& type, const std::string& ns, const std::string& name,
                const DeleteOptions& options) override {
    Json body = {{"kind", "DeleteOptions"}, {"apiVersion", "v1"}};
    if (!options.uid.empty()) body["preconditions"] = {{"uid", options.uid}};
    if (options.grace_period_seconds >= 0)
      body["gracePeriodSeconds"] = options.grace_period_seconds;
    if (!options.propagation.empty()) body["propagationPolicy"] = options.propagation;
    return Send(WithBody("DELETE", type.Path(ns, name), "application/json", body)).status();
  }

  Status Watch(const ResourceType& type, const std::string& ns, const WatchOptions& options,
               const std::function<bool(WatchEvent)>& on_event, std::stop_token stop) override {
    const int seconds = RandomWatchSeconds();
    http::Request request;
    request.target = type.Path(ns) + "?watch=1&allowWatchBookmarks=true&resourceVersion=" +
                     http::PercentEncode(options.resource_version) +
                     "&timeoutSeconds=" + std::to_string(seconds) +
                     Selectors(options.label_selector, options.field_selector);
    ENVICUTOR_RETURN_IF_ERROR(Prepare(request));
    WatchDecoder decoder(on_event, options.skim);
    const Result<http::Response> response = http_->Stream(
        request, [&decoder](std::string_view piece) { return decoder.Feed(piece); },
        std::chrono::seconds(seconds) + kWatchSlack, std::move(stop));
    Count("GET", response);
    if (!decoder.status().ok()) return decoder.status();
    if (!response.ok()) return response.status();
    return response->status / 100 == 2 ? OkStatus() : Refused(*response);
  }

  Result<std::string> GetRaw(const std::string& target) override {
    ENVICUTOR_ASSIGN(http::Response response, Send({"GET", target, {{"Accept", "*/*"}}, ""}));
    return std::move(response.body);
  }

 private:
  static http::Request WithBody(std::string method, std::string target, const char* content_type,
                                const Json& body) {
    return {std::move(method), std::move(target), {{"Content-Type", content_type}}, DumpJson(body)};
  }

  Status Prepare(http::Request& request) {
    request.target = prefix_ + request.target;
    if (request.headers.Get("Accept").empty()) request.headers.Add("Accept", "application/json");
    request.headers.Add("User-Agent", "envicutor/" ENVICUTOR_VERSION);
    ENVICUTOR_ASSIGN(const std::string token, token_.Get());
    if (!token.empty()) request.headers.Add("Authorization", "Bearer " + token);
    return OkStatus();
  }

  // The 2xx response, or why there is none.
  Result<http::Response> Send(http::Request request, const std::stop_token& stop = {}) {
    ENVICUTOR_RETURN_IF_ERROR(Prepare(request));
    for (int attempt = 0;; ++attempt) {
      Result<http::Response> response = http_->Send(request, stop);
      Count(request.method, response);
      if (!response.ok() || response->status / 100 == 2) return response;
      if (attempt == kMaxRetries || !WaitAsAdvised(*response, stop)) return Refused(*response);
    }
  }

  Status Refused(const http::Response& response) {
    if (response.status == 401) token_.Refused();
    return FromResponse(response);
  }

  // False when the server did not say when to try again, or the client is being destroyed.
  bool WaitAsAdvised(const http::Response& response, const std::stop_token& stop) {
    if (response.status != 429 && response.status != 503) return false;
    const std::string text = response.headers.Get("Retry-After");
    int64_t seconds = -1;
    std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (seconds < 0) return false;
    const auto wait = std::min<std::chrono::seconds>(std::chrono::seconds(seconds), kMaxRetryAfter);
    std::unique_lock lock(mutex_);
    return !wake_.wait_for(lock, stop, wait, [this] { return closing_; }) && !stop.stop_requested();
  }

  void Count(const std::string& method, const Result<http::Response>& response) {
    metrics_.requests_total
        .With({response.ok() ? std::to_string(response->status) : "<error>", method, host_})
        .Increment();
  }

  Result<Json> Object(http::Request request, const std::stop_token& stop = {}) {
    ENVICUTOR_ASSIGN(const http::Response response, Send(std::move(request), stop));
    Result<Json> object = ParseJson(response.body, kMaxAnswerDepth);
    if (!object.ok()) return Unavailable("the API server's answer: " + object.status().message());
    return object;
  }

  Result<std::string> Version(http::Request request) {
    ENVICUTOR_ASSIGN(const http::Response response, Send(std::move(request)));
    std::string version = ResourceVersionInText(response.body);
    if (version.empty()) return Unavailable("the API server's answer has no resourceVersion");
    return version;
  }

  Result<List> ListPages(const ResourceType& type, const std::string& ns,
                         const ListOptions& options, int64_t page_size) {
    ListOptions paged = options;
    paged.page_size = page_size;
    List list;
    std::string next;
    do {
      ENVICUTOR_ASSIGN(Page page, ListPage(type, ns, paged, next));
      list.resource_version = std::move(page.list.resource_version);
      std::move(page.list.items.begin(), page.list.items.end(), std::back_inserter(list.items));
      next = std::move(page.next);
    } while (!next.empty());
    return list;
  }

  const std::unique_ptr<http::Client> http_;
  const std::string host_;
  const std::string prefix_;
  SystemClock clock_;
  TokenSource token_;
  const metrics::RestClientMetrics metrics_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool closing_ = false;
};

}  // namespace

Result<std::unique_ptr<Client>> NewClient(const ClientConfig& config, metrics::Registry* registry) {
  auto [origin, prefix] = SplitServer(config.server);
  http::ClientOptions options;
  options.base_url = origin;
  options.tls = config.tls;
  ENVICUTOR_ASSIGN(auto http, http::NewClient(options));
  const size_t scheme = origin.find("://");
  return std::unique_ptr<Client>(std::make_unique<HttpClient>(
      std::move(http), origin.substr(scheme + 3), std::move(prefix), config, registry));
}

Result<std::string> Client::CreateForVersion(const ResourceType& type, const std::string& ns,
                                             const Json& object) {
  ENVICUTOR_ASSIGN(const Json created, Create(type, ns, object));
  return ResourceVersionOf(created);
}

Result<std::string> Client::UpdateForVersion(const ResourceType& type, const Json& object,
                                             const std::string& subresource) {
  ENVICUTOR_ASSIGN(const Json updated, Update(type, object, subresource));
  return ResourceVersionOf(updated);
}

Result<Json> CreateOrPatch(Client& client, const ResourceType& type, const std::string& ns,
                           const Json& object) {
  Result<Json> created = client.Create(type, ns, object);
  if (created.ok() || created.status().code() != Code::kAlreadyExists) return created;
  return client.Patch(type, ns, NameOf(object), PatchType::kMerge, object);
}

}  // namespace envicutor::kube

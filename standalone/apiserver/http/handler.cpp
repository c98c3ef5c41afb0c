#include "standalone/apiserver/http/handler.h"

#include <algorithm>

#include "common/base/encoding.h"
#include "common/base/log.h"
#include "standalone/apiserver/http/body.h"
#include "standalone/apiserver/http/discovery.h"

namespace envicutor::standalone {
namespace {

// Of hostile shapes, lists in lists that own their fields, a KB takes two milliseconds.
constexpr size_t kShortBodyBytes = 8U << 10U;
constexpr size_t kShortObjectBytes = 16U << 10U;
constexpr auto kCollectionDepth = 6;  // "/" in /apis/GROUP/VERSION/namespaces/NAMESPACE/RESOURCE

// Answered to anybody, as a kube-apiserver's defaults do.
bool IsPublic(const std::string& path) {
  return path == "/healthz" || path == "/livez" || path == "/readyz" || path == "/version";
}

void SendText(const ApiHandler::Writer& writer, int code, std::string type, std::string body) {
  http::Response response;
  response.status = code;
  response.headers.Set("Content-Type", std::move(type));
  response.body = std::move(body);
  writer->Send(std::move(response));
}

std::vector<std::string> SplitPath(const std::string& path) {
  std::vector<std::string> parts;
  size_t start = 1;
  while (start < path.size()) {
    const size_t end = std::min(path.find('/', start), path.size());
    if (end > start) parts.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

}  // namespace

void SendJson(const ApiHandler::Writer& writer, int code, std::string body) {
  http::Response response;
  response.status = code;
  response.headers.Set("Content-Type", "application/json");
  response.headers.Set("Cache-Control", "no-cache, private");
  response.body = std::move(body);
  writer->Send(std::move(response));
}

void SendError(const ApiHandler::Writer& writer, const ApiError& error) {
  http::Response response;
  response.status = error.code;
  response.headers.Set("Content-Type", "application/json");
  if (error.retry_after_seconds > 0) {
    response.headers.Set("Retry-After", std::to_string(error.retry_after_seconds));
  }
  response.body = DumpJson(error.ToStatus()) + "\n";
  writer->Send(std::move(response));
}

ApiHandler::ApiHandler(Api* api, WatchHub* hub, LogProxy* logs, Authenticator authenticator)
    : api_(api), hub_(hub), logs_(logs), authenticator_(std::move(authenticator)), openapi_(api) {}

bool ApiHandler::IsShort(const http::ServerRequest& request) const {
  if (request.body.size() > kShortBodyBytes) return false;
  const auto& path = request.path;
  if (!path.starts_with("/apis/")) return false;
  // Slashes are counted below, and those that part nothing would make an object of a collection.
  if (path.ends_with('/') || path.find("//") != std::string::npos) return false;
  const auto depth = std::count(path.begin(), path.end(), '/');
  const std::string type = MediaType(request.headers.Get("Content-Type"));
  // YAML's aliases, JSON patches and server-side apply make much of a short body.
  const bool plain = request.method == "PATCH" ? type == "application/merge-patch+json"
                                               : type.empty() || type == "application/json";
  if (!plain && !(request.method == "DELETE" && request.body.empty())) return false;
  if (request.method == "POST") return depth == kCollectionDepth;
  if (depth <= kCollectionDepth ||
      (request.method != "PUT" && request.method != "PATCH" && request.method != "DELETE")) {
    return false;
  }
  // A change is as much work as the object is large.
  const std::optional<RequestInfo> info = ParseResourcePath(path);
  if (!info) return false;
  const ResourcePtr resource = api_->registry()->Find(info->group, info->version, info->resource);
  if (resource == nullptr) return false;
  const ObjectPtr object =
      api_->store().GetHead(resource->StorageName(), KeyOf(info->ns, info->name));
  return object == nullptr || object->TextBytes() <= kShortObjectBytes;
}

void ApiHandler::Handle(const http::ServerRequest& request, const Writer& writer) {
  std::optional<User> user = authenticator_.Authenticate(request);
  if (!user) {
    if (!IsPublic(request.path)) {
      SendError(writer, UnauthorizedError());
      return;
    }
    user = User{"system:anonymous", {"system:unauthenticated"}};
  }
  try {
    if (const auto error = Route(request, *user, writer)) SendError(writer, *error);
  } catch (const Json::exception& error) {
    // A body of a shape that no check foresaw: the client's mistake, but one we should know of.
    log::Warn("a request's JSON has an unexpected type",
              {{"method", request.method}, {"path", request.path}, {"error", error.what()}});
    SendError(writer, BadRequestError(std::string("the object has a member of a wrong type: ") +
                                      error.what()));
  }
}

std::optional<ApiError> ApiHandler::Route(const http::ServerRequest& request, const User& user,
                                          const Writer& writer) {
  std::optional<ApiError> error;
  if (ServeDocument(request, writer, &error)) return error;
  return ServeResource(request, user, writer);
}

bool ApiHandler::ServeDocument(const http::ServerRequest& request, const Writer& writer,
                               std::optional<ApiError>* error) {
  const std::string& path = request.path;
  const std::vector<std::string> parts = SplitPath(path);
  const std::string root = parts.empty() ? "" : parts[0];
  if ((root == "api" && parts.size() > 2) || (root == "apis" && parts.size() > 3)) return false;
  if (request.method != "GET" && request.method != "HEAD") {
    *error = MethodNotAllowedError();
    return true;
  }
  const auto registry = api_->registry();
  if (IsPublic(path) && path != "/version") {
    SendText(writer, 200, "text/plain; charset=utf-8", "ok");
  } else if (path == "/version") {
    SendJson(writer, 200, DumpJson(VersionDocument(), 2));
  } else if (path == "/metrics") {
    SendText(writer, 200, "text/plain; version=0.0.4", Metrics());
  } else if (root == "openapi") {
    if (!ServeOpenApi(request, writer)) *error = PathNotFoundError();
  } else if (path == "/" || path.empty()) {
    SendJson(writer, 200,
             DumpJson({{"paths",
                        {"/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics",
                         "/openapi/v2", "/openapi/v3", "/readyz", "/version"}}}));
  } else if (parts.size() == 1 && (root == "api" || root == "apis")) {
    const auto form = NegotiateForm(request.headers.Get("Accept"), true);
    if (!form) {
      *error = NotAcceptableError("application/json");
    } else if (*form == Form::kAggregatedDiscovery) {
      http::Response response;
      response.status = 200;
      response.headers.Set("Content-Type",
                           "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
      response.headers.Set("Vary", "Accept");
      response.body = DumpJson(AggregatedDiscoveryDocument(*registry, root == "api"));
      const std::string etag = "\"" + Sha256Hex(response.body) + "\"";
      response.headers.Set("ETag", etag);
      if (request.headers.Get("If-None-Match") == etag) {
        response.status = 304;
        response.body.clear();
      }
      writer->Send(std::move(response));
    } else {
      SendJson(writer, 200,
               DumpJson(root == "api" ? ApiVersionsDocument(request.headers.Get("Host"))
                                      : ApiGroupListDocument(*registry)));
    }
  } else if (root == "api" && parts.size() == 2 && registry->HasGroupVersion("", parts[1])) {
    SendJson(writer, 200, DumpJson(ApiResourceListDocument(*registry, "", parts[1])));
  } else if (root == "apis" && parts.size() == 2 && !registry->Versions(parts[1]).empty()) {
    SendJson(writer, 200, DumpJson(ApiGroupDocument(*registry, parts[1])));
  } else if (root == "apis" && parts.size() == 3 && registry->HasGroupVersion(parts[1], parts[2])) {
    SendJson(writer, 200, DumpJson(ApiResourceListDocument(*registry, parts[1], parts[2])));
  } else {
    *error = PathNotFoundError();
  }
  return true;
}

bool ApiHandler::ServeOpenApi(const http::ServerRequest& request, const Writer& writer) {
  const auto documents = openapi_.Get();
  if (request.path == "/openapi/v2") {
    const bool protobuf = NegotiateForm(request.headers.Get("Accept")) == Form::kOpenApiV2Protobuf;
    const std::string& body = protobuf ? documents->v2_protobuf : documents->v2_json;
    SendText(writer, 200,
             // Asked for with "@" and answered with ".": an "@" is no media type to Go's parser.
             protobuf ? "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
                      : "application/json",
             body);
    return true;
  }
  if (request.path == "/openapi/v3") {
    SendJson(writer, 200, documents->v3_index);
    return true;
  }
  constexpr std::string_view kPrefix = "/openapi/v3/";
  if (request.path.compare(0, kPrefix.size(), kPrefix) != 0) return false;
  const auto document = documents->v3.find(request.path.substr(kPrefix.size()));
  if (document == documents->v3.end()) return false;
  SendJson(writer, 200, document->second);
  return true;
}

void ApiHandler::Count(const std::string& verb, const std::string& resource, int code) {
  const std::lock_guard lock(counts_mutex_);
  ++counts_[{verb, resource, code}];
}

std::string ApiHandler::Metrics() const {
  const std::lock_guard lock(counts_mutex_);
  std::string text =
      "# HELP apiserver_request_total Requests answered, watches when they start.\n"
      "# TYPE apiserver_request_total counter\n";
  for (const auto& [key, count] : counts_) {
    const auto& [verb, resource, code] = key;
    text += "apiserver_request_total{verb=\"" + verb + "\",resource=\"" + resource + "\",code=\"" +
            std::to_string(code) + "\"} " + std::to_string(count) + "\n";
  }
  return text;
}

}  // namespace envicutor::standalone

// Requests to resources: query parameters, verbs, answers.
#include <charconv>
#include <random>

#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/http/body.h"
#include "standalone/apiserver/http/handler.h"

namespace envicutor::standalone {

struct ApiHandler::Call {
  const http::ServerRequest& request;
  RequestInfo info;
  ResourcePtr resource;
  const User& user;
  const Writer& writer;
  OutputOptions output;
};

namespace {

ApiError BadParameter(const std::string& name, const std::string& value, std::string_view want) {
  return BadRequestError("the query parameter " + name + "=" + value.substr(0, 128) + " " +
                         std::string(want));
}

ApiResult<int64_t> IntQuery(const http::ServerRequest& request, const std::string& name,
                            int64_t fallback) {
  const std::string text = request.Query(name);
  if (text.empty()) return fallback;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    return BadParameter(name, text, "must be a non-negative integer");
  }
  return value;
}

bool BoolQuery(const http::ServerRequest& request, const std::string& name) {
  const std::string text = request.Query(name);
  return text == "true" || text == "1";
}

ApiResult<bool> DryRun(const std::string& value) {
  if (value.empty()) return false;
  if (value == "All") return true;
  return InvalidError({"meta.k8s.io", "CreateOptions", ""},
                      {schema::NotSupportedError("dryRun", ShowValue(value), {"All"})});
}

ApiResult<WriteOptions> ReadWriteOptions(const http::ServerRequest& request, const User& user) {
  WriteOptions options;
  options.user = user.name;
  API_ASSIGN(options.dry_run, DryRun(request.Query("dryRun")));
  const std::string validation = request.Query("fieldValidation");
  if (validation == "Strict") {
    options.field_validation = FieldValidation::kStrict;
  } else if (validation == "Ignore") {
    options.field_validation = FieldValidation::kIgnore;
  } else if (!validation.empty() && validation != "Warn") {
    return InvalidError({"meta.k8s.io", "CreateOptions", ""},
                        {schema::NotSupportedError("fieldValidation", ShowValue(validation),
                                                   {"", "Ignore", "Strict", "Warn"})});
  }
  return options;
}

ApiResult<ListQuery> ReadListQuery(const http::ServerRequest& request, const RequestInfo& info) {
  ListQuery query;
  query.label_selector = request.Query("labelSelector");
  query.field_selector = request.Query("fieldSelector");
  query.continue_token = request.Query("continue");
  query.resource_version = request.Query("resourceVersion");
  query.resource_version_match = request.Query("resourceVersionMatch");
  if (!query.resource_version_match.empty() && query.resource_version_match != "Exact" &&
      query.resource_version_match != "NotOlderThan") {
    return BadParameter("resourceVersionMatch", query.resource_version_match,
                        "must be Exact or NotOlderThan");
  }
  API_ASSIGN(query.limit, IntQuery(request, "limit", 0));
  if (!info.name.empty()) {  // a watch of one object
    if (!query.field_selector.empty()) query.field_selector += ",";
    query.field_selector += "metadata.name=" + info.name;
  }
  return query;
}

ApiResult<DeleteQuery> ReadDeleteQuery(const http::ServerRequest& request) {
  DeleteQuery query;
  API_ASSIGN(query.grace_period_seconds, IntQuery(request, "gracePeriodSeconds", -1));
  query.propagation = request.Query("propagationPolicy");
  API_ASSIGN(query.dry_run, DryRun(request.Query("dryRun")));
  if (!request.body.empty()) {
    API_ASSIGN(const Body body, DecodeBody(request.headers.Get("Content-Type"), request.body));
    const Json& options = body.json;
    if (!options.is_object()) return BadRequestError("the body must be DeleteOptions");
    const std::string kind = GetString(options, "kind", "DeleteOptions");
    if (kind != "DeleteOptions") {
      return BadRequestError("the body must be DeleteOptions, not " + kind.substr(0, 128));
    }
    query.grace_period_seconds = GetInt(options, "gracePeriodSeconds", query.grace_period_seconds);
    query.propagation = GetString(options, "propagationPolicy", query.propagation);
    if (GetBool(options, "orphanDependents")) query.propagation = "Orphan";
    query.uid = GetString(At(options, {"preconditions"}), "uid");
    query.resource_version = GetString(At(options, {"preconditions"}), "resourceVersion");
    const Json& dry_run = At(options, {"dryRun"});
    if (dry_run.is_array() && !dry_run.empty()) {
      API_ASSIGN(query.dry_run,
                 DryRun(dry_run[0].is_string() ? dry_run[0].get<std::string>() : "?"));
    }
  }
  if (!query.propagation.empty() && query.propagation != "Background" &&
      query.propagation != "Foreground" && query.propagation != "Orphan") {
    return InvalidError(
        {"meta.k8s.io", "DeleteOptions", ""},
        {schema::NotSupportedError("propagationPolicy", ShowValue(query.propagation),
                                   {"Background", "Foreground", "Orphan"})});
  }
  return query;
}

void AddWarnings(const std::vector<std::string>& warnings, http::Response* response) {
  // One field for all: 299 is "miscellaneous persistent warning", "-" an unnamed agent.
  std::string value;
  for (const std::string& warning : warnings) {
    std::string quoted;
    for (const char c : warning) {
      if (c == '"' || c == '\\') quoted += '\\';
      quoted += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
    if (value.size() + quoted.size() > 8192) break;
    value += (value.empty() ? "" : ", ") + std::string("299 - \"") + quoted + "\"";
  }
  if (!value.empty()) response->headers.Set("Warning", value);
}

void SendAnswer(const ApiHandler::Writer& writer, const ResourceInfo& resource,
                const Answer& answer, const OutputOptions& output) {
  http::Response response;
  response.status = answer.code;
  response.headers.Set("Content-Type", "application/json");
  AddWarnings(answer.warnings, &response);
  const bool own_kind = GetString(answer.object, "kind") == resource.kind;
  response.body = own_kind ? ObjectText(resource, answer.object, output) : DumpJson(answer.object);
  response.body += '\n';
  writer->Send(std::move(response));
}

bool ServesSubresource(const ResourceInfo& resource, const std::string& name) {
  if (name.empty()) return true;
  if (name == "status") return resource.has_status;
  if (name == "scale") return resource.has_scale;
  for (const std::string& served : resource.subresources) {
    if (served == name) return true;
  }
  return false;
}

}  // namespace

std::optional<ApiError> ApiHandler::ServeResource(const http::ServerRequest& request,
                                                  const User& user, const Writer& writer) {
  const std::optional<RequestInfo> info = ParseResourcePath(request.path);
  if (!info) return PathNotFoundError();
  const ResourcePtr resource = api_->registry()->Find(info->group, info->version, info->resource);
  if (resource == nullptr || !ServesSubresource(*resource, info->subresource)) {
    return PathNotFoundError();
  }
  // A namespaced object has a namespace in its path; a cluster-scoped one has none.
  if (!resource->namespaced && !info->ns.empty()) return PathNotFoundError();
  if (resource->namespaced && info->ns.empty() && !info->name.empty()) return PathNotFoundError();
  const auto form = NegotiateForm(request.headers.Get("Accept"));
  if (!form) return NotAcceptableError("application/json");
  const Result<schema::IncludeObject> include =
      schema::ParseIncludeObject(request.Query("includeObject"));
  if (!include.ok()) return BadRequestError(include.status().message());
  const Call call{request, *info,  resource,
                  user,    writer, OutputOptions{*form, *include, api_->clock().WallNow()}};
  const bool watch = BoolQuery(request, "watch");
  const std::string verb = request.method != "GET" ? request.method
                           : watch                 ? "WATCH"
                           : info->name.empty()    ? "LIST"
                                                   : "GET";
  const std::string counted =
      info->subresource.empty() ? resource->plural : resource->plural + "/" + info->subresource;
  if (request.method == "GET") {
    const auto error = watch && info->subresource.empty() ? ServeWatch(call) : ServeRead(call);
    Count(verb, counted, error ? error->code : 200);
    return error;
  }
  const ApiResult<Answer> answer = ServeWrite(call);
  Count(verb, counted, answer.ok() ? answer->code : answer.error().code);
  if (!answer.ok()) return answer.error();
  SendAnswer(writer, *resource, *answer, call.output);
  return std::nullopt;
}

std::optional<ApiError> ApiHandler::ServeRead(const Call& call) {
  const RequestInfo& info = call.info;
  const ResourceInfo& resource = *call.resource;
  if (resource.virtual_kind) return MethodNotAllowedError();
  if (info.subresource == "log") {
    return logs_->Serve(info.ns, info.name, call.request, call.writer);
  }
  if (info.subresource == "scale") {
    const ApiResult<Answer> answer = api_->GetScale(resource, info.ns, info.name);
    if (!answer.ok()) return answer.error();
    SendAnswer(call.writer, resource, *answer, call.output);
    return std::nullopt;
  }
  if (!info.subresource.empty() && info.subresource != "status") return MethodNotAllowedError();
  if (!info.name.empty()) {
    const ApiResult<ObjectPtr> object = api_->Get(resource, info.ns, info.name);
    if (!object.ok()) return object.error();
    SendJson(call.writer, 200, ObjectText(resource, **object, call.output) + "\n");
    return std::nullopt;
  }
  const ApiResult<ListQuery> query = ReadListQuery(call.request, info);
  if (!query.ok()) return query.error();
  const ApiResult<ListAnswer> list = api_->List(resource, info.ns, *query);
  if (!list.ok()) return list.error();
  SendJson(call.writer, 200, ListText(resource, *list, call.output) + "\n");
  return std::nullopt;
}

std::optional<ApiError> ApiHandler::ServeWatch(const Call& call) {
  const ResourceInfo& resource = *call.resource;
  if (resource.virtual_kind) return MethodNotAllowedError();
  const ApiResult<ListQuery> query = ReadListQuery(call.request, call.info);
  if (!query.ok()) return query.error();
  WatchRequest watch;
  watch.resource = call.resource;
  watch.ns = call.info.ns;
  watch.output = call.output;
  watch.bookmarks = BoolQuery(call.request, "allowWatchBookmarks");
  ApiResult<LabelSelector> labels = LabelSelector::Parse(query->label_selector);
  if (!labels.ok()) return labels.error();
  watch.labels = std::move(*labels);
  ApiResult<FieldSelector> fields = FieldSelector::Parse(query->field_selector, resource);
  if (!fields.ok()) return fields.error();
  watch.fields = std::move(*fields);
  const ApiResult<int64_t> timeout = IntQuery(call.request, "timeoutSeconds", 0);
  if (!timeout.ok()) return timeout.error();
  // As kube-apiserver's --min-request-timeout: half an hour to an hour when the client says
  // nothing.
  thread_local std::minstd_rand random{std::random_device{}()};
  const int64_t seconds = *timeout > 0 ? std::min<int64_t>(*timeout, 86'400)
                                       : std::uniform_int_distribution<int64_t>(1800, 3600)(random);
  watch.deadline = api_->clock().Now() + std::chrono::seconds(seconds);

  const bool initial_events = BoolQuery(call.request, "sendInitialEvents");
  if (initial_events && (query->resource_version_match != "NotOlderThan" || !watch.bookmarks)) {
    return InvalidError(
        {"meta.k8s.io", "ListOptions", ""},
        {schema::ForbiddenError("sendInitialEvents",
                                "sendInitialEvents requires setting resourceVersionMatch to "
                                "NotOlderThan and allowWatchBookmarks to true")});
  }
  const bool from_now = query->resource_version.empty() || query->resource_version == "0";
  std::string initial;
  if (from_now || initial_events) {
    ListQuery list = *query;
    list.limit = 0;
    list.continue_token.clear();
    const ApiResult<ListAnswer> present = api_->List(resource, call.info.ns, list);
    if (!present.ok()) return present.error();
    for (const ObjectPtr& object : present->objects) {
      const bool with_columns = !std::exchange(watch.columns_sent, true);
      initial += EventText("ADDED", resource, *object, call.output, with_columns);
    }
    watch.revision = present->revision;
    if (initial_events) initial += BookmarkText(resource, watch.revision, call.output, true);
  } else {
    const std::string& text = query->resource_version;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), watch.revision);
    if (error != std::errc() || end != text.data() + text.size()) {
      return BadRequestError("Invalid value: \"" + text.substr(0, 128) + "\": resourceVersion");
    }
    const uint64_t now = api_->store().PublishedRevision();
    if (watch.revision > now) return TooLargeResourceVersionError(watch.revision, now);
    const ChangeBatch batch = api_->store().ChangesSince(resource.StorageName(), watch.revision, 1);
    if (batch.expired) {
      return ExpiredError("too old resource version: " + text + " (" +
                          std::to_string(batch.oldest) + ")");
    }
  }
  call.writer->StartStream(
      200, {{"Content-Type", "application/json"}, {"Cache-Control", "no-cache, private"}});
  if (!initial.empty() && !call.writer->Write(std::move(initial))) return std::nullopt;
  hub_->Add(std::move(watch), call.writer);
  return std::nullopt;
}

ApiResult<Answer> ApiHandler::ServeWrite(const Call& call) {
  const http::ServerRequest& request = call.request;
  const RequestInfo& info = call.info;
  const ResourceInfo& resource = *call.resource;
  const std::string& sub = info.subresource;
  const std::string type = MediaType(request.headers.Get("Content-Type"));
  if (request.method == "DELETE") {
    if (!sub.empty() || resource.virtual_kind) return MethodNotAllowedError();
    API_ASSIGN(const DeleteQuery query, ReadDeleteQuery(request));
    if (!info.name.empty()) return api_->Delete(resource, info.ns, info.name, query);
    API_ASSIGN(const ListQuery list, ReadListQuery(request, info));
    return api_->DeleteCollection(resource, info.ns, list, query);
  }
  API_ASSIGN(WriteOptions options, ReadWriteOptions(request, call.user));
  if (request.method == "PATCH") {
    if (info.name.empty() || resource.virtual_kind || sub == "log" || sub == "binding" ||
        sub == "eviction" || sub == "finalize") {
      return MethodNotAllowedError();
    }
    PatchKind kind = PatchKind::kMerge;
    if (type == "application/json-patch+json") {
      kind = PatchKind::kJson;
    } else if (type == "application/strategic-merge-patch+json") {
      kind = PatchKind::kStrategicMerge;
    } else if (type == "application/apply-patch+yaml" || type == "application/apply-patch+cbor") {
      return UnsupportedMediaTypeError(
          "server-side apply is not supported by this API server: it keeps no field ownership "
          "(managedFields). Use client-side apply (kubectl apply without --server-side)");
    } else if (type != "application/merge-patch+json") {
      return UnsupportedMediaTypeError(
          "the body of the request was in an unknown format - accepted media types include: "
          "application/json-patch+json, application/merge-patch+json, "
          "application/strategic-merge-patch+json");
    }
    API_ASSIGN(Body body, DecodeJson(request.body));
    options.duplicate_fields = std::move(body.duplicate_fields);
    if (sub == "scale") {
      return api_->PatchScale(resource, info.ns, info.name, kind, body.json, options);
    }
    return api_->Patch(resource, info.ns, info.name, sub, kind, body.json, options);
  }
  API_ASSIGN(Body body, DecodeBody(request.headers.Get("Content-Type"), request.body));
  if (!body.json.is_object()) return BadRequestError("the body must be an object");
  options.duplicate_fields = std::move(body.duplicate_fields);
  if (request.method == "POST") {
    if (sub == "binding") return api_->BindPod(info.ns, info.name, body.json, options);
    if (sub == "eviction") return api_->EvictPod(info.ns, info.name, body.json, options);
    if (!info.name.empty() || (resource.namespaced && info.ns.empty())) {
      return MethodNotAllowedError();
    }
    return api_->Create(resource, info.ns, std::move(body.json), options);
  }
  if (request.method != "PUT" || info.name.empty() || resource.virtual_kind) {
    return MethodNotAllowedError();
  }
  if (sub == "scale") {
    return api_->UpdateScale(resource, info.ns, info.name, body.json, options);
  }
  if (!sub.empty() && sub != "status" && sub != "finalize") return MethodNotAllowedError();
  return api_->Update(resource, info.ns, info.name, sub, body.json, options);
}

}  // namespace envicutor::standalone

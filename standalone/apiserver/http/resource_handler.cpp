// Requests to resources: verbs and answers.
#include <utility>

#include "standalone/apiserver/http/body.h"
#include "standalone/apiserver/http/call.h"
#include "standalone/apiserver/http/query.h"

namespace envicutor::standalone {

namespace {

constexpr std::string_view kApplyType = "application/apply-patch+yaml";

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

http::Response ResponseOf(const ResourceInfo& resource, const Answer& answer,
                          const OutputOptions& output) {
  http::Response response;
  response.status = answer.code;
  response.headers.Set("Content-Type", "application/json");
  AddWarnings(answer.warnings, &response);
  if (answer.stored != nullptr) {
    response.body = ObjectText(resource, *answer.stored, output);
  } else if (GetString(answer.object, "kind") == resource.kind) {
    response.body = ObjectText(resource, answer.object, output);
  } else {
    response.body = DumpJson(answer.object);
  }
  response.body += '\n';
  return response;
}

void SendAnswer(const ApiHandler::Writer& writer, const ResourceInfo& resource,
                const Answer& answer, const OutputOptions& output) {
  writer->Send(ResponseOf(resource, answer, output));
}

// What a client makes up is not kept.
std::string CountedAs(const std::string& method) {
  for (const char* known : {"POST", "PUT", "PATCH", "DELETE", "HEAD"}) {
    if (method == known) return method;
  }
  return "OTHER";
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
  const std::string verb = request.method != "GET" ? CountedAs(request.method)
                           : watch                 ? "WATCH"
                           : info->name.empty()    ? "LIST"
                                                   : "GET";
  const std::string counted =
      info->subresource.empty() ? resource->plural : resource->plural + "/" + info->subresource;
  if (request.method == "GET") {
    auto error = watch && info->subresource.empty() ? ServeWatch(call) : ServeRead(call);
    Count(verb, counted, error ? error->code : 200);
    return error;
  }
  const ApiResult<Answer> answer = ServeWrite(call);
  if (!answer.ok()) {
    if (answer.error().ticket == nullptr) {
      Count(verb, counted, answer.error().code);
      return answer.error();
    }
    ApiError error = answer.error();
    const std::shared_ptr<WriteTicket> ticket = std::exchange(error.ticket, nullptr);
    api_->store().Then(
        ticket, [this, writer, verb, counted, error = std::move(error)](const Status& status) {
          const ApiError& said = status.ok() ? error : StorageError(status);
          Count(verb, counted, said.code);
          SendError(writer, said);
        });
    return std::nullopt;
  }
  if (answer->ticket == nullptr) {
    Count(verb, counted, answer->code);
    SendAnswer(writer, *resource, *answer, call.output);
    return std::nullopt;
  }
  // Nobody waits for the disk: who made it durable sends what is ready.
  api_->store().Then(answer->ticket, [this, writer, verb, counted,
                                      response = ResponseOf(*resource, *answer, call.output)](
                                         const Status& status) {
    if (status.ok()) {
      Count(verb, counted, response.status);
      writer->Send(response);
    } else {
      const ApiError error = StorageError(status);
      Count(verb, counted, error.code);
      SendError(writer, error);
    }
  });
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

ApiResult<Answer> ApiHandler::ServeWrite(const Call& call) {
  const http::ServerRequest& request = call.request;
  const RequestInfo& info = call.info;
  const ResourceInfo& resource = *call.resource;
  const std::string& sub = info.subresource;
  // Before the body, which is not theirs.
  if (request.method != "POST" && request.method != "PUT" && request.method != "PATCH" &&
      request.method != "DELETE") {
    if (resource.crd == nullptr) return MethodNotAllowedError();
    return MethodNotSupportedError(resource.Target(info.name), "");
  }
  const std::string type = MediaType(request.headers.Get("Content-Type"));
  if (request.method == "DELETE") {
    if (!sub.empty() || resource.virtual_kind) return MethodNotAllowedError();
    API_ASSIGN(DeleteQuery query, ReadDeleteQuery(request));
    query.deferred = true;
    if (!info.name.empty()) return api_->Delete(resource, info.ns, info.name, query);
    API_ASSIGN(const ListQuery list, ReadListQuery(request, info));
    return api_->DeleteCollection(resource, info.ns, list, query);
  }
  const bool apply = request.method == "PATCH" && type == kApplyType;
  API_ASSIGN(WriteOptions options, ReadWriteOptions(request, call.user, apply));
  options.stored_is_enough = sub != "scale";
  options.deferred = true;
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
    } else if (type != "application/merge-patch+json" && (!apply || sub == "scale")) {
      return UnsupportedMediaTypeError(
          "the body of the request was in an unknown format - accepted media types include: "
          "application/json-patch+json, application/merge-patch+json, " +
          std::string(resource.crd != nullptr ? "" : "application/strategic-merge-patch+json, ") +
          std::string(kApplyType));
    }
    API_ASSIGN(Body body,
               apply ? DecodeBody("application/yaml", request.body) : DecodeJson(request.body));
    options.duplicate_fields = std::move(body.duplicate_fields);
    if (apply) {
      return api_->Apply(resource, info.ns, info.name, sub, body.json, BoolQuery(request, "force"),
                         options);
    }
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

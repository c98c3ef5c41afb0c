#include "standalone/apiserver/http/query.h"

#include <algorithm>
#include <charconv>

#include "common/base/encoding.h"
#include "standalone/apiserver/core/apply/ownership.h"
#include "standalone/apiserver/http/body.h"

namespace envicutor::standalone {
namespace {

ApiError BadParameter(const std::string& name, const std::string& value, std::string_view want) {
  return BadRequestError("the query parameter " + name + "=" + value.substr(0, 128) + " " +
                         std::string(want));
}

// Names the kind of options in errors.
ErrorTarget OptionsOf(const http::ServerRequest& request) {
  const std::string kind = request.method == "POST"    ? "CreateOptions"
                           : request.method == "PATCH" ? "PatchOptions"
                                                       : "UpdateOptions";
  return {"meta.k8s.io", kind, ""};
}

// The first part of the User-Agent, as far as it can be the name of a manager.
std::string ManagerOf(std::string_view user_agent) {
  const std::string_view first = user_agent.substr(0, user_agent.find('/'));
  std::string manager;
  for (const char c : first) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) continue;
    if (manager.size() == kMaxManagerBytes) break;
    manager += c;
  }
  return manager.empty() ? "unknown" : manager;
}

ApiResult<std::string> FieldManager(const http::ServerRequest& request, bool apply) {
  std::string manager = request.Query("fieldManager");
  Causes causes;
  if (!apply && request.method == "PATCH" && !request.Query("force").empty()) {
    causes.push_back(schema::ForbiddenError("force", "may not be specified for non-apply patch"));
  }
  if (manager.empty() && apply) {
    causes.push_back(schema::RequiredError("fieldManager", "is required for apply patch"));
  }
  if (manager.size() > kMaxManagerBytes) {
    causes.push_back(schema::TooLongError("fieldManager", "may not be more than 128 bytes"));
  }
  if (!IsUtf8(manager) || std::any_of(manager.begin(), manager.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
      })) {
    causes.push_back(schema::InvalidError("fieldManager", ShowValue(manager),
                                          "should only contain printable characters"));
  }
  if (!causes.empty()) return InvalidError(OptionsOf(request), causes);
  return manager.empty() ? ManagerOf(request.headers.Get("User-Agent")) : std::move(manager);
}

ApiResult<bool> DryRun(const std::string& value) {
  if (value.empty()) return false;
  if (value == "All") return true;
  return InvalidError(
      {"meta.k8s.io", "CreateOptions", ""},
      {schema::NotSupportedError("dryRun", ShowValue(Json::array({value})), {"All"})});
}

}  // namespace

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

ApiResult<WriteOptions> ReadWriteOptions(const http::ServerRequest& request, const User& user,
                                         bool apply) {
  WriteOptions options;
  API_ASSIGN(options.manager, FieldManager(request, apply));
  options.user = user.name;
  options.groups = user.groups;
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
  if (!query.resource_version_match.empty() && query.resource_version.empty() &&
      !BoolQuery(request, "sendInitialEvents")) {
    return InvalidError(
        {"meta.k8s.io", "ListOptions", ""},
        {schema::ForbiddenError(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden unless resourceVersion is provided")});
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
    if (!At(options, {"orphanDependents"}).is_null()) {
      if (!query.propagation.empty()) {
        return InvalidError(
            {"meta.k8s.io", "DeleteOptions", ""},
            {schema::InvalidError("propagationPolicy", ShowValue(query.propagation),
                                  "orphanDependents and deletionPropagation cannot be both set")});
      }
      query.propagation = GetBool(options, "orphanDependents") ? "Orphan" : "Background";
    }
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
                                   {"Foreground", "Background", "Orphan", "nil"})});
  }
  return query;
}

}  // namespace envicutor::standalone

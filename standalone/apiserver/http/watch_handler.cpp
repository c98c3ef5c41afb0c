// GET with watch=true: what is there already, then over to the WatchHub.
#include <charconv>
#include <random>

#include "standalone/apiserver/http/call.h"
#include "standalone/apiserver/http/query.h"

namespace envicutor::standalone {

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
  if (initial_events && query->resource_version_match != "NotOlderThan") {
    return InvalidError(
        {"meta.k8s.io", "ListOptions", ""},
        {schema::ForbiddenError(
            "resourceVersionMatch",
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")});
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

}  // namespace envicutor::standalone

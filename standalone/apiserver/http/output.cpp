#include "standalone/apiserver/http/output.h"

namespace envicutor::standalone {
namespace {

Json Partial(const Json& object) {
  return {{"kind", "PartialObjectMetadata"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", At(object, {"metadata"})}};
}

// The stored text where the version asked for is the stored one.
std::string PlainText(const ResourceInfo& resource, const Object& object) {
  Json scratch;
  const Json& shown = Api::Shown(resource, object, &scratch);
  return &shown == &object.json ? object.text : DumpJson(shown);
}

}  // namespace

schema::TablePrinter PrinterOf(const ResourceInfo& resource) {
  if (resource.crd_version != nullptr) return schema::TablePrinter::ForCrd(*resource.crd_version);
  return schema::TablePrinter::ForBuiltin(resource.group, resource.plural);
}

std::string ObjectText(const ResourceInfo& resource, const Json& object,
                       const OutputOptions& options) {
  switch (options.form) {
    case Form::kTable: {
      const Json list_metadata = {{"resourceVersion", MetaString(object, "resourceVersion")}};
      return DumpJson(
          PrinterOf(resource).Table({&object}, list_metadata, options.include, options.now));
    }
    case Form::kPartialMetadata:
      return DumpJson(Partial(object));
    default:
      return DumpJson(object);
  }
}

std::string ObjectText(const ResourceInfo& resource, const Object& object,
                       const OutputOptions& options) {
  if (options.form == Form::kJson) return PlainText(resource, object);
  Json scratch;
  return ObjectText(resource, Api::Shown(resource, object, &scratch), options);
}

std::string ListText(const ResourceInfo& resource, const ListAnswer& list,
                     const OutputOptions& options) {
  Json metadata = {{"resourceVersion", std::to_string(list.revision)}};
  if (!list.continue_token.empty()) metadata["continue"] = list.continue_token;
  if (list.remaining >= 0) metadata["remainingItemCount"] = list.remaining;
  if (options.form == Form::kTable) {
    std::vector<const Json*> objects;
    std::vector<Json> scratch(list.objects.size());
    for (size_t i = 0; i < list.objects.size(); ++i) {
      objects.push_back(&Api::Shown(resource, *list.objects[i], &scratch[i]));
    }
    return DumpJson(PrinterOf(resource).Table(objects, metadata, options.include, options.now));
  }
  const bool partial = options.form == Form::kPartialMetadataList;
  const Json head = {{"apiVersion", partial ? "meta.k8s.io/v1" : resource.ApiVersion()},
                     {"kind", partial ? "PartialObjectMetadataList" : resource.list_kind},
                     {"metadata", std::move(metadata)}};
  std::string text = DumpJson(head);
  text.pop_back();
  text += ",\"items\":[";
  bool first = true;
  for (const ObjectPtr& object : list.objects) {
    if (!first) text += ',';
    first = false;
    text += partial ? DumpJson(Partial(object->json)) : PlainText(resource, *object);
  }
  text += "]}";
  return text;
}

std::string EventText(std::string_view type, const ResourceInfo& resource, const Object& object,
                      const OutputOptions& options, bool with_columns) {
  std::string text = "{\"type\":\"" + std::string(type) + "\",\"object\":";
  if (options.form == Form::kTable) {
    Json scratch;
    const Json& shown = Api::Shown(resource, object, &scratch);
    const Json metadata = {{"resourceVersion", std::to_string(object.revision)}};
    text += DumpJson(
        PrinterOf(resource).Table({&shown}, metadata, options.include, options.now, with_columns));
  } else if (options.form == Form::kPartialMetadata || options.form == Form::kPartialMetadataList) {
    text += DumpJson(Partial(object.json));
  } else {
    text += PlainText(resource, object);
  }
  text += "}\n";
  return text;
}

std::string BookmarkText(const ResourceInfo& resource, uint64_t revision,
                         const OutputOptions& options, bool initial_events_end) {
  Json metadata = {{"resourceVersion", std::to_string(revision)}, {"creationTimestamp", nullptr}};
  if (initial_events_end) metadata["annotations"] = {{"k8s.io/initial-events-end", "true"}};
  Json object;
  if (options.form == Form::kTable) {
    object = PrinterOf(resource).Table({}, metadata, options.include, options.now, false);
  } else if (options.form == Form::kPartialMetadata || options.form == Form::kPartialMetadataList) {
    object = Partial({{"metadata", metadata}});
  } else {
    object = {{"kind", resource.kind},
              {"apiVersion", resource.ApiVersion()},
              {"metadata", std::move(metadata)}};
  }
  return DumpJson({{"type", "BOOKMARK"}, {"object", std::move(object)}}) + "\n";
}

std::string ErrorEventText(const ApiError& error) {
  return DumpJson({{"type", "ERROR"}, {"object", error.ToStatus()}}) + "\n";
}

}  // namespace envicutor::standalone

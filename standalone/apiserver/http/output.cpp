#include "standalone/apiserver/http/output.h"

namespace envicutor::standalone {
namespace {

Json Partial(const Json& object) {
  return {{"kind", "PartialObjectMetadata"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", At(object, {"metadata"})}};
}

// The stored text where the version asked for is the stored one.
void AppendPlain(const ResourceInfo& resource, const Object& object, std::string* out) {
  if (object.ApiVersion() == resource.ApiVersion()) {
    object.AppendText(out);
    return;
  }
  const JsonRef shown = Api::Shown(resource, object);
  *out += DumpJson(*shown);
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
  if (options.form == Form::kJson) {
    std::string text;
    text.reserve(object.TextBytes() + 1);  // a newline comes behind it
    AppendPlain(resource, object, &text);
    return text;
  }
  const JsonRef shown = Api::Shown(resource, object);
  return ObjectText(resource, *shown, options);
}

std::string ListText(const ResourceInfo& resource, const ListAnswer& list,
                     const OutputOptions& options) {
  Json metadata = {{"resourceVersion", std::to_string(list.revision)}};
  if (!list.continue_token.empty()) metadata["continue"] = list.continue_token;
  if (list.remaining >= 0) metadata["remainingItemCount"] = list.remaining;
  if (options.form == Form::kTable) {
    std::vector<JsonRef> trees;
    std::vector<const Json*> objects;
    for (const ObjectPtr& object : list.objects) {
      trees.push_back(Api::Shown(resource, *object));
      objects.push_back(&*trees.back());
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
    if (partial) {
      const JsonRef tree = object->Tree();
      text += DumpJson(Partial(*tree));
    } else {
      AppendPlain(resource, *object, &text);
    }
  }
  text += "]}";
  return text;
}

std::string EventText(std::string_view type, const ResourceInfo& resource, const Object& object,
                      const OutputOptions& options, bool with_columns) {
  constexpr size_t kAround = 64;
  std::string text;
  if (options.form == Form::kJson) text.reserve(object.TextBytes() + kAround);
  text += "{\"type\":\"";
  text += type;
  text += "\",\"object\":";
  if (options.form == Form::kTable) {
    const JsonRef shown = Api::Shown(resource, object);
    const Json metadata = {{"resourceVersion", std::to_string(object.revision)}};
    text += DumpJson(
        PrinterOf(resource).Table({&*shown}, metadata, options.include, options.now, with_columns));
  } else if (options.form == Form::kPartialMetadata || options.form == Form::kPartialMetadataList) {
    const JsonRef tree = object.Tree();
    text += DumpJson(Partial(*tree));
  } else {
    AppendPlain(resource, object, &text);
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

// Objects and lists as answers: JSON, tables, partial metadata. Pure.
#pragma once

#include <string>

#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/http/accept.h"
#include "standalone/apiserver/schema/table.h"

namespace envicutor::standalone {

struct OutputOptions {
  Form form = Form::kJson;
  schema::IncludeObject include = schema::IncludeObject::kMetadata;
  WallTime now;
};

[[nodiscard]] schema::TablePrinter PrinterOf(const ResourceInfo& resource);

[[nodiscard]] std::string ObjectText(const ResourceInfo& resource, const Object& object,
                                     const OutputOptions& options);
// Of an object that is an answer to a write: not yet shared.
[[nodiscard]] std::string ObjectText(const ResourceInfo& resource, const Json& object,
                                     const OutputOptions& options);
[[nodiscard]] std::string ListText(const ResourceInfo& resource, const ListAnswer& list,
                                   const OutputOptions& options);
// A line of a watch stream, its newline included. `with_columns`: of tables' first event.
[[nodiscard]] std::string EventText(std::string_view type, const ResourceInfo& resource,
                                    const Object& object, const OutputOptions& options,
                                    bool with_columns);
// BOOKMARK; `initial_events_end` marks the end of sendInitialEvents.
[[nodiscard]] std::string BookmarkText(const ResourceInfo& resource, uint64_t revision,
                                       const OutputOptions& options, bool initial_events_end);
[[nodiscard]] std::string ErrorEventText(const ApiError& error);

}  // namespace envicutor::standalone

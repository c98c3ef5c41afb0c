#include "standalone/apiserver/schema/table.h"

#include <array>

namespace envicutor::standalone::schema {
namespace {

// A cell as a column's type says; null where it cannot be shown so.
Json TypedCell(const PrinterColumn& column, const Json& value, WallTime now) {
  if (value.is_null()) return nullptr;
  if (column.type == "integer") {
    if (value.is_number_integer()) return value;
    return value.is_number_float() ? Json(static_cast<int64_t>(value.get<double>())) : Json();
  }
  if (column.type == "number") return value.is_number() ? value : Json();
  if (column.type == "boolean") return value.is_boolean() ? value : Json();
  if (column.type == "date") {
    if (!value.is_string()) return nullptr;
    const Result<WallTime> time = ParseRfc3339(value.get_ref<const std::string&>());
    return time.ok() ? Json(HumanDuration(now - *time)) : Json("<invalid>");
  }
  return value.is_string() ? value : Json(DumpJson(value));
}

Json ColumnCell(const PrinterColumn& column, const Json& object, WallTime now) {
  const std::vector<const Json*> found = column.path.Find(object);
  if (found.empty()) return nullptr;
  if (found.size() == 1 || column.type != "string") return TypedCell(column, *found[0], now);
  std::string joined;
  for (const Json* each : found) {
    if (!joined.empty()) joined += ",";
    joined += each->is_string() ? each->get<std::string>() : DumpJson(*each);
  }
  return joined;
}

}  // namespace

Result<IncludeObject> ParseIncludeObject(std::string_view text) {
  if (text.empty() || text == "Metadata") return IncludeObject::kMetadata;
  if (text == "Object") return IncludeObject::kObject;
  if (text == "None") return IncludeObject::kNone;
  return InvalidArgument("includeObject: Unsupported value: \"" + std::string(text.substr(0, 64)) +
                         "\": supported values: \"Metadata\", \"None\", \"Object\"");
}

std::string HumanDuration(Duration age) {
  using std::chrono::duration_cast;
  const int64_t seconds = duration_cast<std::chrono::seconds>(age).count();
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return std::to_string(seconds) + "s";
  const int64_t minutes = seconds / 60;
  const auto two = [](int64_t large, const char* large_unit, int64_t small,
                      const char* small_unit) {
    std::string out = std::to_string(large) + large_unit;
    if (small != 0) out += std::to_string(small) + small_unit;
    return out;
  };
  if (minutes < 10) return two(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return std::to_string(minutes) + "m";
  const int64_t hours = minutes / 60;
  if (hours < 8) return two(hours, "h", minutes % 60, "m");
  if (hours < 48) return std::to_string(hours) + "h";
  const int64_t days = hours / 24;
  if (hours < 192) return two(days, "d", hours % 24, "h");
  if (hours < int64_t{24} * 365 * 2) return std::to_string(days) + "d";
  if (hours < int64_t{24} * 365 * 8) return two(days / 365, "y", days % 365, "d");
  return std::to_string(days / 365) + "y";
}

TablePrinter TablePrinter::ForCrd(const CompiledVersion& version) {
  TablePrinter printer;
  printer.columns_.push_back({"Name", "string", "name", "Name must be unique within a namespace.",
                              0, [](const Json& object, WallTime /*now*/) {
                                return Json(GetString(At(object, {"metadata"}), "name"));
                              }});
  for (const PrinterColumn& column : version.columns) {
    printer.columns_.push_back(
        {column.name, column.type, column.format, column.description, column.priority,
         [column](const Json& object, WallTime now) { return ColumnCell(column, object, now); }});
  }
  return printer;
}

Json TablePrinter::Columns() const {
  Json columns = Json::array();
  for (const Column& column : columns_) {
    columns.push_back({{"name", column.name},
                       {"type", column.type},
                       {"format", column.format},
                       {"description", column.description},
                       {"priority", column.priority}});
  }
  return columns;
}

Json TablePrinter::Row(const Json& object, IncludeObject include, WallTime now) const {
  Json cells = Json::array();
  for (const Column& column : columns_) cells.push_back(column.cell(object, now));
  Json row = {{"cells", std::move(cells)}};
  switch (include) {
    case IncludeObject::kMetadata:
      row["object"] = {{"kind", "PartialObjectMetadata"},
                       {"apiVersion", "meta.k8s.io/v1"},
                       {"metadata", At(object, {"metadata"})}};
      break;
    case IncludeObject::kObject:
      row["object"] = object;
      break;
    case IncludeObject::kNone:
      row["object"] = nullptr;
      break;
  }
  return row;
}

Json TablePrinter::Table(const std::vector<const Json*>& objects, const Json& list_metadata,
                         IncludeObject include, WallTime now, bool with_columns) const {
  Json metadata = Json::object();
  for (const char* key : {"resourceVersion", "continue", "remainingItemCount"}) {
    const Json& value = At(list_metadata, {key});
    if (!value.is_null()) metadata[key] = value;
  }
  Json rows = Json::array();
  for (const Json* object : objects) rows.push_back(Row(*object, include, now));
  return {{"kind", "Table"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", std::move(metadata)},
          {"columnDefinitions", with_columns ? Columns() : Json::array()},
          {"rows", std::move(rows)}};
}

}  // namespace envicutor::standalone::schema

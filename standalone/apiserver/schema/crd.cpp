#include "standalone/apiserver/schema/crd.h"

#include <algorithm>
#include <cctype>

namespace envicutor::standalone::schema {
namespace {

constexpr size_t kMaxColumns = 64;
constexpr size_t kMaxSelectableFields = 8;  // Kubernetes' own bound
constexpr size_t kMaxVersions = 32;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// RFC 1035 labels (dots allowed where `dots`).
bool IsDnsName(std::string_view text, bool dots) {
  if (text.empty() || text.size() > (dots ? 253U : 63U)) return false;
  const auto alnum = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (!alnum(text.front()) || !alnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return alnum(c) || c == '-' || (dots && c == '.'); });
}

std::vector<std::string> Strings(const Json& list) {
  std::vector<std::string> out;
  if (!list.is_array()) return out;
  for (const Json& each : list) {
    if (each.is_string()) out.push_back(each.get<std::string>());
  }
  return out;
}

class CrdCompiler {
 public:
  CrdCompiler(const Json& crd, std::vector<FieldError>* errors) : crd_(crd), errors_(errors) {}

  std::shared_ptr<const CompiledCrd> Compile() {
    const size_t before = errors_->size();
    auto out = std::make_shared<CompiledCrd>();
    const Json& spec = At(crd_, {"spec"});
    out->name = GetString(At(crd_, {"metadata"}), "name");
    out->group = GetString(spec, "group");
    if (!IsDnsName(out->group, true) || out->group.find('.') == std::string::npos) {
      errors_->push_back(InvalidError("spec.group", '"' + out->group + '"',
                                      "should be a domain with at least one dot"));
    }
    Scope(spec, out.get());
    Names(At(spec, {"names"}), &out->names);
    if (const std::string wanted = out->names.plural + "." + out->group; out->name != wanted) {
      errors_->push_back(InvalidError("metadata.name", '"' + out->name + '"',
                                      "must be spec.names.plural+\".\"+spec.group"));
    }
    Conversion(spec);
    Versions(At(spec, {"versions"}), out.get());
    return errors_->size() == before ? out : nullptr;
  }

 private:
  void Scope(const Json& spec, CompiledCrd* out) {
    const std::string scope = GetString(spec, "scope");
    out->namespaced = scope == "Namespaced";
    if (scope.empty()) {
      errors_->push_back(RequiredError("spec.scope", ""));
    } else if (scope != "Namespaced" && scope != "Cluster") {
      errors_->push_back(
          NotSupportedError("spec.scope", '"' + scope + '"', {"Cluster", "Namespaced"}));
    }
  }

  void Names(const Json& names, CrdNames* out) {
    out->plural = GetString(names, "plural");
    out->kind = GetString(names, "kind");
    out->singular = GetString(names, "singular", Lower(out->kind));
    out->list_kind = GetString(names, "listKind", out->kind + "List");
    out->short_names = Strings(At(names, {"shortNames"}));
    out->categories = Strings(At(names, {"categories"}));
    if (!IsDnsName(out->plural, false)) {
      errors_->push_back(InvalidError("spec.names.plural", '"' + out->plural + '"',
                                      "must be a lower-case DNS label"));
    }
    if (!IsDnsName(Lower(out->kind), false)) {
      errors_->push_back(InvalidError("spec.names.kind", '"' + out->kind + '"',
                                      "must be a DNS label but for its case"));
    }
    for (size_t i = 0; i < out->short_names.size(); ++i) {
      if (!IsDnsName(out->short_names[i], false)) {
        errors_->push_back(InvalidError("spec.names.shortNames[" + std::to_string(i) + "]",
                                        '"' + out->short_names[i] + '"',
                                        "must be a lower-case DNS label"));
      }
    }
  }

  void Conversion(const Json& spec) {
    const std::string strategy = GetString(At(spec, {"conversion"}), "strategy", "None");
    if (strategy != "None") {
      errors_->push_back(
          NotSupportedError("spec.conversion.strategy", '"' + strategy + '"', {"None"}));
    }
  }

  void Versions(const Json& versions, CompiledCrd* out) {
    if (!versions.is_array() || versions.empty() || versions.size() > kMaxVersions) {
      errors_->push_back(RequiredError("spec.versions", "must have 1 to 32 entries"));
      return;
    }
    size_t stored = 0;
    for (size_t i = 0; i < versions.size(); ++i) {
      const std::string path = "spec.versions[" + std::to_string(i) + "]";
      CompiledVersion version;
      Version(versions[i], path, &version);
      if (version.storage) ++stored;
      if (out->Version(version.name) != nullptr) {
        errors_->push_back(InvalidError("spec.versions", "", "must contain unique version names"));
      }
      out->versions.push_back(std::move(version));
    }
    if (stored != 1) {
      errors_->push_back(InvalidError("spec.versions", "",
                                      "must have exactly one version marked as storage version"));
    }
  }

  void Version(const Json& version, const std::string& path, CompiledVersion* out) {
    out->name = GetString(version, "name");
    if (!IsDnsName(out->name, false)) {
      errors_->push_back(
          InvalidError(path + ".name", '"' + out->name + '"', "must be a lower-case DNS label"));
    }
    out->served = GetBool(version, "served");
    out->storage = GetBool(version, "storage");
    out->deprecated = GetBool(version, "deprecated");
    out->deprecation_warning = GetString(version, "deprecationWarning");
    const Json& schema = At(version, {"schema", "openAPIV3Schema"});
    if (schema.is_object()) {
      out->schema = Schema::Compile(schema, path + ".schema.openAPIV3Schema", errors_);
      out->open_api_v3_schema = schema;
    } else {
      errors_->push_back(RequiredError(path + ".schema.openAPIV3Schema", "schemas are required"));
    }
    Subresources(At(version, {"subresources"}), path + ".subresources", out);
    Columns(At(version, {"additionalPrinterColumns"}), path + ".additionalPrinterColumns", out);
    Selectable(At(version, {"selectableFields"}), path + ".selectableFields", out);
  }

  // ".spec.replicas" -> {"spec", "replicas"}.
  std::vector<std::string> SimplePath(const Json& scale, const char* key, const std::string& under,
                                      const std::string& path, bool required) {
    const std::string text = GetString(scale, key);
    std::vector<std::string> parts;
    std::string_view rest = text;
    while (rest.starts_with(".")) {
      rest.remove_prefix(1);
      const size_t end = std::min(rest.find_first_of(".[]'"), rest.size());
      parts.emplace_back(rest.substr(0, end));
      rest.remove_prefix(end);
    }
    if (text.empty() && !required) return {};
    if (!rest.empty() || parts.size() < 2 || (parts[0] != under && !under.empty())) {
      errors_->push_back(InvalidError(path + "." + key, '"' + text + '"',
                                      "should be a json path under ." + under));
    }
    return parts;
  }

  void Subresources(const Json& subresources, const std::string& path, CompiledVersion* out) {
    out->has_status = At(subresources, {"status"}).is_object();
    const Json& scale = At(subresources, {"scale"});
    if (!scale.is_object()) return;
    ScalePaths paths;
    paths.spec_replicas = SimplePath(scale, "specReplicasPath", "spec", path + ".scale", true);
    paths.status_replicas =
        SimplePath(scale, "statusReplicasPath", "status", path + ".scale", true);
    paths.label_selector = SimplePath(scale, "labelSelectorPath", "", path + ".scale", false);
    out->scale = std::move(paths);
  }

  bool ParsePath(const Json& entry, const std::string& path, JsonPath* out) {
    const std::string text = GetString(entry, "jsonPath");
    Result<JsonPath> parsed = JsonPath::Parse(text);
    if (parsed.ok() && !text.empty()) {
      *out = *std::move(parsed);
      return true;
    }
    errors_->push_back(
        InvalidError(path + ".jsonPath", '"' + text + '"',
                     text.empty() ? "must not be empty" : parsed.status().message()));
    return false;
  }

  void Columns(const Json& columns, const std::string& path, CompiledVersion* out) {
    if (columns.is_array()) {
      if (columns.size() > kMaxColumns) {
        errors_->push_back(
            TooManyError(path, std::to_string(columns.size()) + ": must have at most 64 items"));
        return;
      }
      for (size_t i = 0; i < columns.size(); ++i) {
        Column(columns[i], path + "[" + std::to_string(i) + "]", out);
      }
    }
    if (!out->columns.empty()) return;
    PrinterColumn age;
    age.name = "Age";
    age.type = "date";
    age.description = "Time since it was created.";
    age.path = JsonPath::Parse(".metadata.creationTimestamp").value();
    out->columns.push_back(std::move(age));
  }

  void Column(const Json& entry, const std::string& path, CompiledVersion* out) {
    PrinterColumn column;
    column.name = GetString(entry, "name");
    column.type = GetString(entry, "type");
    column.format = GetString(entry, "format");
    column.description = GetString(entry, "description");
    column.priority = GetInt(entry, "priority");
    if (column.name.empty()) errors_->push_back(RequiredError(path + ".name", ""));
    const std::vector<std::string> types = {"boolean", "date", "integer", "number", "string"};
    if (std::find(types.begin(), types.end(), column.type) == types.end()) {
      errors_->push_back(NotSupportedError(path + ".type", '"' + column.type + '"', types));
    }
    if (ParsePath(entry, path, &column.path)) out->columns.push_back(std::move(column));
  }

  void Selectable(const Json& fields, const std::string& path, CompiledVersion* out) {
    if (!fields.is_array()) return;
    if (fields.size() > kMaxSelectableFields) {
      errors_->push_back(
          TooManyError(path, std::to_string(fields.size()) + ": must have at most 8 items"));
      return;
    }
    for (size_t i = 0; i < fields.size(); ++i) {
      SelectableField field;
      if (!ParsePath(fields[i], path + "[" + std::to_string(i) + "]", &field.path)) continue;
      field.name = GetString(fields[i], "jsonPath");
      if (field.name.starts_with(".")) field.name.erase(0, 1);
      out->selectable_fields.push_back(std::move(field));
    }
  }

  const Json& crd_;
  std::vector<FieldError>* errors_;
};

}  // namespace

const CompiledVersion* CompiledCrd::Version(std::string_view version) const {
  for (const CompiledVersion& each : versions) {
    if (each.name == version) return &each;
  }
  return nullptr;
}

const CompiledVersion* CompiledCrd::StorageVersion() const {
  for (const CompiledVersion& each : versions) {
    if (each.storage) return &each;
  }
  return nullptr;
}

std::shared_ptr<const CompiledCrd> CompileCrd(const Json& crd, std::vector<FieldError>* errors) {
  return CrdCompiler(crd, errors).Compile();
}

}  // namespace envicutor::standalone::schema

#include "standalone/apiserver/core/metadata.h"

#include <algorithm>

#include "standalone/apiserver/core/object.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxAnnotationsBytes = 256U << 10U;

bool IsLowerAlnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsAlnum(char c) { return IsLowerAlnum(c) || (c >= 'A' && c <= 'Z'); }

// [A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?
bool IsQualifiedPart(std::string_view text) {
  if (text.empty() || text.size() > 63 || !IsAlnum(text.front()) || !IsAlnum(text.back())) {
    return false;
  }
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsAlnum(c) || c == '-' || c == '_' || c == '.'; });
}

bool IsQualifiedName(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return IsQualifiedPart(text);
  return IsDns1123Subdomain(text.substr(0, slash)) && IsQualifiedPart(text.substr(slash + 1));
}

constexpr std::string_view kQualifiedNameMessage =
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with "
    "an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
constexpr std::string_view kLabelValueMessage =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

void ValidateName(const Json& object, const ResourceInfo& resource, Causes* causes) {
  const std::string name = NameOf(object);
  // Where a name is generated its prefix has been tried as a name already.
  if (name.empty()) {
    causes->push_back(schema::RequiredError("metadata.name", "name or generateName is required"));
    return;
  }
  if (resource.group.empty() && resource.plural == "namespaces") {
    if (!IsDns1123Label(name)) {
      causes->push_back(schema::InvalidError(
          "metadata.name", ShowValue(name),
          name.find('.') == std::string::npos ? Dns1123LabelMessage() : "must not contain dots"));
    }
  } else if (!IsDns1123Subdomain(name)) {
    causes->push_back(schema::InvalidError(
        "metadata.name", ShowValue(name),
        name.size() > 253 ? "must be no more than 253 characters" : Dns1123SubdomainMessage()));
  }
}

void ValidateLabels(const Json& labels, Causes* causes) {
  for (const auto& [key, value] : labels.items()) {
    if (!IsQualifiedName(key)) {
      causes->push_back(
          schema::InvalidError("metadata.labels", ShowValue(key), kQualifiedNameMessage));
    }
    const auto& text = value.get_ref<const std::string&>();
    if (text.size() > 63) {
      causes->push_back(schema::InvalidError("metadata.labels", ShowValue(text),
                                             "must be no more than 63 characters"));
    } else if (!text.empty() && !IsQualifiedPart(text)) {
      causes->push_back(
          schema::InvalidError("metadata.labels", ShowValue(text), kLabelValueMessage));
    }
  }
}

void ValidateAnnotations(const Json& annotations, Causes* causes) {
  size_t total = 0;
  for (const auto& [key, value] : annotations.items()) {
    std::string lower = key;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (!IsQualifiedName(lower)) {
      causes->push_back(
          schema::InvalidError("metadata.annotations", ShowValue(key), kQualifiedNameMessage));
    }
    total += key.size() + value.get_ref<const std::string&>().size();
  }
  if (total > kMaxAnnotationsBytes) {
    causes->push_back(
        schema::TooLongError("metadata.annotations", "may not be more than 262144 bytes"));
  }
}

void ValidateOwners(const Json& owners, Causes* causes) {
  bool has_controller = false;
  for (size_t i = 0; i < owners.size(); ++i) {
    for (const char* member : {"apiVersion", "kind", "name", "uid"}) {
      if (!GetString(owners[i], member).empty()) continue;
      // Without the index and in these words, as kube-apiserver.
      causes->push_back(schema::InvalidError(
          "metadata.ownerReferences." + std::string(member), "\"\"",
          std::string_view(member) == "apiVersion" ? "version must not be empty"
                                                   : "must not be empty"));
    }
    if (GetBool(owners[i], "controller")) {
      if (has_controller) {
        causes->push_back(
            schema::InvalidError("metadata.ownerReferences", ShowValue(owners),
                                 "Only one reference can have Controller set to true."));
      }
      has_controller = true;
    }
  }
}

void ValidateFinalizers(const Json& object, const Json* old, Causes* causes) {
  const Json& finalizers = At(object, {"metadata", "finalizers"});
  Json added = Json::array();
  for (size_t i = 0; i < finalizers.size(); ++i) {
    const auto& name = finalizers[i].get_ref<const std::string&>();
    if (!IsQualifiedName(name)) {
      causes->push_back(
          schema::InvalidError("metadata.finalizers", ShowValue(name), kQualifiedNameMessage));
    }
    if (old != nullptr && !HasFinalizer(*old, name)) added.push_back(name);
  }
  if (old != nullptr && IsTerminating(*old) && !added.empty()) {
    const std::string shown = DumpJson(added);  // ["a","b"]
    causes->push_back(schema::ForbiddenError(
        "metadata.finalizers",
        "no new finalizers can be added if the object is being deleted, found new finalizers "
        "[]string{" +
            shown.substr(1, shown.size() - 2) + "}"));
  }
}

ApiError WrongMember(const ResourceInfo& resource, const std::string& member,
                     std::string_view wanted) {
  return BadRequestError(resource.kind + " in version \"" + resource.version +
                         "\" cannot be handled as a " + resource.kind +
                         ": json: cannot unmarshal value into field ObjectMeta." + member +
                         " of type " + std::string(wanted));
}

bool AllStrings(const Json& container) {
  return std::all_of(container.begin(), container.end(),
                     [](const Json& value) { return value.is_string(); });
}

}  // namespace

bool IsDns1123Label(std::string_view name) {
  if (name.empty() || name.size() > 63 || !IsLowerAlnum(name.front()) ||
      !IsLowerAlnum(name.back())) {
    return false;
  }
  return std::all_of(name.begin(), name.end(), [](char c) { return IsLowerAlnum(c) || c == '-'; });
}

bool IsDns1123Subdomain(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  char previous = '.';
  for (const char c : name) {
    if (!IsLowerAlnum(c) && c != '-' && c != '.') return false;
    if (!IsLowerAlnum(previous) && !IsLowerAlnum(c) && (previous == '.' || c == '.')) return false;
    previous = c;
  }
  return IsLowerAlnum(previous);
}

bool IsConfigMapKey(std::string_view key) {
  if (key.empty() || key.size() > 253 || key == "." || key.substr(0, 2) == "..") return false;
  return std::all_of(key.begin(), key.end(),
                     [](char c) { return IsAlnum(c) || c == '-' || c == '_' || c == '.'; });
}

std::string_view Dns1123SubdomainMessage() {
  return "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' "
         "or "
         "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex "
         "used "
         "for validation is "
         "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
}

std::string_view Dns1123LabelMessage() {
  return "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
         "and "
         "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "
         "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
}

std::optional<ApiError> CheckMetadataTypes(Json* object, const ResourceInfo& resource) {
  Json& metadata = (*object)["metadata"];
  if (metadata.is_null()) metadata = Json::object();
  if (!metadata.is_object()) return WrongMember(resource, "", "v1.ObjectMeta");
  for (auto it = metadata.begin(); it != metadata.end();) {
    it = it->is_null() ? metadata.erase(it) : std::next(it);
  }
  for (const char* member : {"name", "generateName", "namespace", "uid", "resourceVersion",
                             "creationTimestamp", "deletionTimestamp"}) {
    if (metadata.contains(member) && !metadata[member].is_string()) {
      return WrongMember(resource, member, "string");
    }
  }
  for (const char* member : {"labels", "annotations"}) {
    if (metadata.contains(member) &&
        (!metadata[member].is_object() || !AllStrings(metadata[member]))) {
      return WrongMember(resource, member, "map[string]string");
    }
  }
  if (metadata.contains("finalizers") &&
      (!metadata["finalizers"].is_array() || !AllStrings(metadata["finalizers"]))) {
    return WrongMember(resource, "finalizers", "[]string");
  }
  if (metadata.contains("ownerReferences")) {
    const Json& owners = metadata["ownerReferences"];
    if (!owners.is_array() ||
        !std::all_of(owners.begin(), owners.end(), [](const Json& o) { return o.is_object(); })) {
      return WrongMember(resource, "ownerReferences", "[]v1.OwnerReference");
    }
  }
  return std::nullopt;
}

Causes ValidateMetadata(const Json& object, const Json* old, const ResourceInfo& resource) {
  Causes causes;
  const Json& metadata = At(object, {"metadata"});
  if (old == nullptr) ValidateName(object, resource, &causes);
  ValidateLabels(At(metadata, {"labels"}), &causes);
  ValidateAnnotations(At(metadata, {"annotations"}), &causes);
  ValidateOwners(At(metadata, {"ownerReferences"}), &causes);
  ValidateFinalizers(object, old, &causes);
  return causes;
}

}  // namespace envicutor::standalone

// From a client's body to an object that may be stored: strict decoding, pruning, defaults,
// validation.
#include <set>

#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/core/builtin.h"
#include "standalone/apiserver/core/metadata.h"
#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/core/quota.h"

namespace envicutor::standalone {
namespace {

const schema::Schema* SchemaOf(const ResourceInfo& resource) {
  if (resource.crd_version != nullptr) return resource.crd_version->schema.get();
  return resource.builtin_schema.get();
}

// Unknown members of metadata, which schemas leave alone.
void UnknownMetadata(const Json& object, std::vector<std::string>* unknown) {
  static const std::set<std::string, std::less<>> known = {
      "name",       "generateName",    "namespace",         "selfLink",
      "uid",        "resourceVersion", "generation",        "creationTimestamp",
      "labels",     "annotations",     "deletionTimestamp", "deletionGracePeriodSeconds",
      "finalizers", "ownerReferences", "managedFields",     "clusterName"};
  const Json& metadata = At(object, {"metadata"});
  if (!metadata.is_object()) return;
  for (const auto& [key, value] : metadata.items()) {
    if (!known.contains(key)) unknown->push_back("unknown field \"metadata." + key + "\"");
  }
}

void DropUnknownMetadata(Json* object) {
  std::vector<std::string> unknown;
  UnknownMetadata(*object, &unknown);
  for (const std::string& field : unknown) {
    const size_t start = field.find('.') + 1;
    (*object)["metadata"].erase(field.substr(start, field.size() - start - 1));
  }
}

std::string Join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : ", ") + part;
  return text;
}

// What the Go decoder says first of all about a body of the wrong type.
ApiError WrongType(const ResourceInfo& resource, const schema::FieldError& error) {
  return BadRequestError(resource.kind + " in version \"" + resource.version +
                         "\" cannot be handled as a " + resource.kind + ": " + error.field + ": " +
                         error.detail);
}

}  // namespace

std::optional<ApiError> Api::AdmitFields(const ResourceInfo& resource, Json* object,
                                         const WriteOptions& options,
                                         std::vector<std::string>* warnings) const {
  std::vector<std::string> unknown;
  if (options.field_validation != FieldValidation::kIgnore) {
    for (const std::string& field : options.duplicate_fields) {
      unknown.push_back("duplicate field \"" + field + "\"");
    }
    if (const schema::Schema* schema = SchemaOf(resource)) {
      const auto fields = schema->UnknownFields(*object);
      unknown.insert(unknown.end(), fields.begin(), fields.end());
    }
    UnknownMetadata(*object, &unknown);
  }
  if (!unknown.empty()) {
    if (options.field_validation == FieldValidation::kStrict) {
      return BadRequestError(resource.kind + " in version \"" + resource.version +
                             "\" cannot be handled as a " + resource.kind +
                             ": strict decoding error: " + Join(unknown));
    }
    for (std::string& warning : unknown) warnings->push_back(std::move(warning));
  }
  DropUnknownMetadata(object);
  return std::nullopt;
}

std::optional<ApiError> Api::Admit(const ResourceInfo& resource, const Json* old,
                                   const std::string& subresource, Json* object,
                                   const WriteOptions& options,
                                   std::vector<std::string>* warnings) const {
  if (auto error = AdmitFields(resource, object, options, warnings)) return error;
  const WallTime now = clock_->WallNow();
  const std::string name = NameOf(*object);
  Causes causes;
  if (resource.crd_version != nullptr) {
    const schema::Schema& schema = *resource.crd_version->schema;
    schema.Prune(object);
    schema.Default(object);
    // What only touches metadata (a finalizer taken away) is not held up by a schema that became
    // stricter since: kube-apiserver's ratcheting.
    if (old == nullptr || !SameBut({"metadata"}, *object, *old))
      causes = schema.Validate(*object, old);
    if (resource.crd_version->deprecated) {
      warnings->push_back(resource.crd_version->deprecation_warning);
    }
  } else {
    if (resource.builtin_schema != nullptr) {
      resource.builtin_schema->Prune(object);
      const auto errors = resource.builtin_schema->Validate(*object, nullptr);
      for (const schema::FieldError& error : errors) {
        if (error.reason == "FieldValueTypeInvalid") return WrongType(resource, error);
      }
    }
    if (resource.StorageName() == kCrds) {
      if (schema::CompileCrd(*object, &causes) == nullptr) {
        return InvalidError(resource.KindTarget(name), causes);
      }
      causes.clear();
      if (subresource.empty()) {
        PrepareCrd(old, object, CrdNamesTaken(*object), now);
      } else {
        causes = ValidateCrdStatus(*object);
        if (!causes.empty()) return InvalidError(resource.KindTarget(name), causes);
        KeepEstablished(*old, object);
      }
    } else if (subresource.empty()) {
      if (auto error = PrepareBuiltin(resource, old, object, now)) return error;
    }
    if (subresource.empty()) causes = ValidateBuiltin(resource, *object, old);
    if (subresource.empty() && resource.StorageName() == kQuotas) {
      for (std::string& warning : QuotaWarnings(*object)) warnings->push_back(std::move(warning));
    }
  }
  const Causes meta = ValidateMetadata(*object, old, resource);
  causes.insert(causes.begin(), meta.begin(), meta.end());
  if (!causes.empty()) return InvalidError(resource.KindTarget(name), causes);
  return std::nullopt;
}

ApiResult<std::vector<StoreWrite::Guard>> Api::CreateGuards(const ResourceInfo& resource,
                                                            const std::string& ns,
                                                            const std::string& name,
                                                            bool deferred) const {
  std::vector<StoreWrite::Guard> guards;
  if (resource.crd != nullptr) {
    StoreWrite::Guard guard{std::string(kCrds), resource.crd->name, nullptr};
    const auto judge = [&](const ObjectPtr& crd) -> std::optional<ApiError> {
      if (crd == nullptr) return PathNotFoundError();
      if (!crd->IsTerminating()) return std::nullopt;
      return MethodNotSupportedError(
          resource.Target(name),
          "create not allowed while custom resource definition is terminating: create");
    };
    API_ASSIGN(guard.expected, Agreed(guard.resource, guard.key, deferred, judge));
    guards.push_back(std::move(guard));
  }
  if (!resource.namespaced) return guards;
  StoreWrite::Guard guard{std::string(kNamespaces), ns, nullptr};
  const auto judge = [&](const ObjectPtr& object) -> std::optional<ApiError> {
    if (object == nullptr) return NotFoundError({"", "namespaces", ns});
    if (!object->IsTerminating()) return std::nullopt;
    ApiError error =
        ForbiddenError(resource.Target(name), "unable to create new content in namespace " + ns +
                                                  " because it is being terminated");
    error.details["causes"] = Json::array({{{"reason", "NamespaceTerminating"},
                                            {"message", "namespace " + ns + " is being terminated"},
                                            {"field", "metadata.namespace"}}});
    return error;
  };
  API_ASSIGN(guard.expected, Agreed(guard.resource, guard.key, deferred, judge));
  guards.push_back(std::move(guard));
  return guards;
}

}  // namespace envicutor::standalone

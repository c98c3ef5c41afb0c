#include "standalone/apiserver/core/builtin.h"

#include "common/base/encoding.h"
#include "standalone/apiserver/core/metadata.h"
#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/core/quota.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxDataBytes = 1U << 20U;  // of a ConfigMap's or Secret's data

ApiError CannotHandle(const ResourceInfo& resource, const std::string& why) {
  return BadRequestError(resource.kind + " in version \"" + resource.version +
                         "\" cannot be handled as a " + resource.kind + ": " + why);
}

std::optional<ApiError> PrepareSecret(const ResourceInfo& resource, Json* secret) {
  if (GetString(*secret, "type").empty()) (*secret)["type"] = "Opaque";
  if (secret->contains("stringData")) {
    const Json string_data = std::move((*secret)["stringData"]);
    secret->erase("stringData");
    for (const auto& [key, value] : string_data.items()) {
      if (!value.is_string())
        return CannotHandle(resource, "stringData." + key + " is not a string");
      (*secret)["data"][key] = Base64Encode(value.get_ref<const std::string&>());
    }
  }
  for (const auto& [key, value] : At(*secret, {"data"}).items()) {
    if (!value.is_string() || !Base64Decode(value.get_ref<const std::string&>()).ok()) {
      return CannotHandle(resource, "illegal base64 data in data." + key);
    }
  }
  return std::nullopt;
}

void PrepareNamespace(const Json* old, Json* ns) {
  (*ns)["metadata"]["labels"]["kubernetes.io/metadata.name"] = NameOf(*ns);
  if (old == nullptr) {
    (*ns)["spec"]["finalizers"] = Json::array({"kubernetes"});
    (*ns)["status"] = {{"phase", "Active"}};
  } else {
    (*ns)["spec"] = (*old)["spec"];  // changed through the finalize subresource only
  }
}

void ValidateKeysAndSize(const Json& object, std::initializer_list<const char*> members,
                         Causes* causes) {
  size_t total = 0;
  for (const char* member : members) {
    for (const auto& [key, value] : At(object, {member}).items()) {
      if (!IsConfigMapKey(key)) {
        causes->push_back(schema::InvalidError(
            std::string(member) + "[" + key + "]", ShowValue(key),
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
            "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
            "'[-._a-zA-Z0-9]+')"));
      }
      if (value.is_string()) total += value.get_ref<const std::string&>().size();
    }
  }
  if (total > kMaxDataBytes) {
    causes->push_back(schema::TooLongError("", "may not be more than 1048576 bytes"));
  }
}

void ValidateImmutable(const Json& object, const Json* old,
                       std::initializer_list<const char*> members, Causes* causes) {
  if (old == nullptr || !GetBool(*old, "immutable")) return;
  if (!GetBool(object, "immutable")) {
    causes->push_back(
        schema::ForbiddenError("immutable", "field is immutable when `immutable` is set"));
  }
  for (const char* member : members) {
    if (At(object, {member}) != At(*old, {member})) {
      causes->push_back(
          schema::ForbiddenError(member, "field is immutable when `immutable` is set"));
    }
  }
}

}  // namespace

void SetCondition(Json* conditions, const std::string& type, bool status, const std::string& reason,
                  const std::string& message, WallTime now) {
  if (!conditions->is_array()) *conditions = Json::array();
  Json wanted = {{"type", type},
                 {"status", status ? "True" : "False"},
                 {"reason", reason},
                 {"message", message},
                 {"lastTransitionTime", FormatRfc3339(now)}};
  for (Json& condition : *conditions) {
    if (GetString(condition, "type") != type) continue;
    if (GetString(condition, "status") == GetString(wanted, "status") &&
        condition.contains("lastTransitionTime")) {
      wanted["lastTransitionTime"] = condition["lastTransitionTime"];
    }
    condition = std::move(wanted);
    return;
  }
  conditions->push_back(std::move(wanted));
}

std::optional<ApiError> PrepareBuiltin(const ResourceInfo& resource, const Json* old, Json* object,
                                       WallTime now) {
  const std::string name = resource.StorageName();
  if (name == "/secrets") return PrepareSecret(resource, object);
  if (name == kNamespaces) {
    PrepareNamespace(old, object);
  } else if (name == kPods) {
    if (!At(*object, {"spec"}).is_null() && !At(*object, {"spec"}).is_object()) {
      return CannotHandle(resource,
                          "json: cannot unmarshal value into Pod.spec of type v1.PodSpec");
    }
    DefaultPod(object);
    if (old == nullptr) InitPodStatus(object);
  } else if (name == "/events") {
    const std::string stamp = FormatRfc3339(now);
    if (old == nullptr && At(*object, {"firstTimestamp"}).is_null() &&
        At(*object, {"eventTime"}).is_null()) {
      (*object)["firstTimestamp"] = stamp;
      (*object)["lastTimestamp"] = stamp;
    }
  }
  return std::nullopt;
}

Causes ValidateBuiltin(const ResourceInfo& resource, const Json& object, const Json* old) {
  const std::string name = resource.StorageName();
  Causes causes;
  if (name == kPods) return ValidatePod(object, old);
  if (name == kQuotas) return ValidateQuota(object);
  if (name == kCrds) return ValidateCrd(object, old);
  if (name == "/configmaps") {
    ValidateKeysAndSize(object, {"data", "binaryData"}, &causes);
    ValidateImmutable(object, old, {"data", "binaryData"}, &causes);
    for (const auto& [key, value] : At(object, {"binaryData"}).items()) {
      if (At(object, {"data"}).contains(key)) {
        causes.push_back(schema::InvalidError("data[" + key + "]", ShowValue(key),
                                              "duplicate of key present in binaryData"));
      }
    }
  } else if (name == "/secrets") {
    ValidateKeysAndSize(object, {"data"}, &causes);
    ValidateImmutable(object, old, {"data"}, &causes);
    if (old != nullptr && GetString(object, "type") != GetString(*old, "type")) {
      causes.push_back(schema::InvalidError("type", ShowValue(object.value("type", Json())),
                                            "field is immutable"));
    }
    if (GetString(object, "type") == "kubernetes.io/tls") {
      for (const char* key : {"tls.crt", "tls.key"}) {
        if (At(object, {"data", key}).is_null()) {
          causes.push_back(schema::RequiredError("data[" + std::string(key) + "]", ""));
        }
      }
    }
  } else if (name == "coordination.k8s.io/leases") {
    for (const char* member : {"leaseDurationSeconds", "leaseTransitions"}) {
      const Json& value = At(object, {"spec", member});
      const bool duration = member[5] == 'D';
      if (value.is_number_integer() && value.get<int64_t>() < (duration ? 1 : 0)) {
        causes.push_back(schema::InvalidError(
            "spec." + std::string(member), ShowValue(value),
            duration ? "must be greater than 0" : "must be greater than or equal to 0"));
      }
    }
  } else if (name == "/events") {
    const std::string about = GetString(At(object, {"involvedObject"}), "namespace");
    const std::string ns = NamespaceOf(object);
    if (about != ns && !(about.empty() && (ns == "default" || ns == "kube-system"))) {
      causes.push_back(schema::InvalidError("involvedObject.namespace", ShowValue(about),
                                            "does not match event.namespace"));
    }
  }
  return causes;
}

}  // namespace envicutor::standalone

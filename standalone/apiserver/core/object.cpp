#include "standalone/apiserver/core/object.h"

namespace envicutor::standalone {

ObjectPtr MakeObject(Json json, uint64_t revision) {
  json["metadata"]["resourceVersion"] = std::to_string(revision);
  auto object = std::make_shared<Object>();
  object->text = DumpJson(json);
  object->json = std::move(json);
  object->revision = revision;
  return object;
}

std::string MetaString(const Json& object, std::string_view key) {
  return GetString(At(object, {"metadata"}), key);
}

bool IsTerminating(const Json& object) {
  return At(object, {"metadata", "deletionTimestamp"}).is_string();
}

bool HasFinalizers(const Json& object) {
  const Json& finalizers = At(object, {"metadata", "finalizers"});
  return finalizers.is_array() && !finalizers.empty();
}

bool HasFinalizer(const Json& object, std::string_view name) {
  for (const Json& finalizer : At(object, {"metadata", "finalizers"})) {
    if (finalizer.is_string() && finalizer.get_ref<const std::string&>() == name) return true;
  }
  return false;
}

void AddFinalizer(Json* object, std::string_view name) {
  if (HasFinalizer(*object, name)) return;
  Json& finalizers = (*object)["metadata"]["finalizers"];
  if (!finalizers.is_array()) finalizers = Json::array();
  finalizers.push_back(std::string(name));
}

void RemoveFinalizer(Json* object, std::string_view name) {
  if (!HasFinalizer(*object, name)) return;
  Json kept = Json::array();
  for (Json& finalizer : (*object)["metadata"]["finalizers"]) {
    if (!finalizer.is_string() || finalizer.get_ref<const std::string&>() != name) {
      kept.push_back(std::move(finalizer));
    }
  }
  if (kept.empty()) {
    (*object)["metadata"].erase("finalizers");
  } else {
    (*object)["metadata"]["finalizers"] = std::move(kept);
  }
}

std::string KeyOf(std::string_view ns, std::string_view name) {
  std::string key(ns);
  if (!key.empty()) key += '/';
  key += name;
  return key;
}

}  // namespace envicutor::standalone

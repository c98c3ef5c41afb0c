#include "standalone/apiserver/core/object.h"

#include <algorithm>
#include <array>

namespace envicutor::standalone {

namespace {

using Serializer = nlohmann::detail::serializer<Json>;

// `object`, and where in `text` the value of the member begins that `path` leads to.
void Dump(const Json& object, const std::string_view* path, Serializer* serializer,
          std::string* text, size_t* at) {
  *text += '{';
  for (auto it = object.begin(); it != object.end(); ++it) {
    if (it != object.begin()) *text += ',';
    serializer->dump(Json(it.key()), false, false, 0);
    *text += ':';
    if (it.key() != *path) {
      serializer->dump(*it, false, false, 0);
    } else if (it->is_object()) {
      Dump(*it, path + 1, serializer, text, at);
    } else {
      *at = text->size();
      serializer->dump(*it, false, false, 0);
    }
  }
  *text += '}';
}

}  // namespace

ObjectDraft DraftObject(Json json) {
  json["metadata"]["resourceVersion"] = "";
  auto object = std::make_shared<Object>();
  object->json = std::move(json);
  object->revision = 0;
  std::string& text = object->text;
  Serializer serializer(nlohmann::detail::output_adapter<char, std::string>(text), ' ',
                        Json::error_handler_t::replace);
  constexpr std::array<std::string_view, 2> kPath = {"metadata", "resourceVersion"};
  size_t version_at = 0;
  Dump(object->json, kPath.data(), &serializer, &text, &version_at);
  return {std::move(object), version_at + 1};  // after the quote
}

ObjectPtr FinishObject(ObjectDraft draft, uint64_t revision) {
  const std::string version = std::to_string(revision);
  draft.object->text.insert(draft.version_at, version);
  draft.object->json["metadata"]["resourceVersion"] = version;
  draft.object->revision = revision;
  return std::move(draft.object);
}

ObjectPtr MakeObject(Json json, uint64_t revision) {
  return FinishObject(DraftObject(std::move(json)), revision);
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

bool SameBut(std::initializer_list<std::string_view> but, const Json& a, const Json& b) {
  const auto left_out = [&](const std::string& name) {
    return std::find(but.begin(), but.end(), name) != but.end();
  };
  const auto skip = [&](Json::const_iterator it, const Json& object) {
    while (it != object.end() && left_out(it.key())) ++it;
    return it;
  };
  auto left = skip(a.begin(), a);
  auto right = skip(b.begin(), b);
  while (left != a.end() && right != b.end()) {
    if (left.key() != right.key() || *left != *right) return false;
    left = skip(std::next(left), a);
    right = skip(std::next(right), b);
  }
  return left == a.end() && right == b.end();
}

std::string KeyOf(std::string_view ns, std::string_view name) {
  std::string key(ns);
  if (!key.empty()) key += '/';
  key += name;
  return key;
}

}  // namespace envicutor::standalone

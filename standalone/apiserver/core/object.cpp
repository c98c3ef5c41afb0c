#include "standalone/apiserver/core/object.h"

#include <algorithm>
#include <array>
#include <mutex>

#include "common/base/check.h"

namespace envicutor::standalone {

namespace {

// A tree is read and dropped by whoever holds the object: a mutex for each would be a sixth of a
// small one.
std::mutex& TreeMutex(const Object* object) {
  static std::array<std::mutex, 64> mutexes;
  return mutexes[(reinterpret_cast<uintptr_t>(object) / sizeof(Object)) % mutexes.size()];
}

// Of the store's own text, which is only as deep as Api::Commit let it be; files of older servers
// may hold deeper ones.
constexpr int kStoredDepth = 512;

size_t StringBytes(const std::string& text) {
  return text.capacity() < sizeof(std::string) / 2 ? 0 : text.capacity() + 1;
}

// About what the nodes of a tree take.
size_t TreeBytes(const Json& value) {
  if (value.is_string()) {
    return sizeof(std::string) + StringBytes(value.get_ref<const std::string&>());
  }
  size_t bytes = 0;
  if (value.is_object()) {
    bytes += sizeof(Json::object_t);
    for (auto it = value.begin(); it != value.end(); ++it) {
      bytes += sizeof(std::string) + StringBytes(it.key()) + sizeof(Json);
      bytes += TreeBytes(*it);
    }
  } else if (value.is_array()) {
    bytes += sizeof(Json::array_t);
    for (const Json& element : value) bytes += sizeof(Json) + TreeBytes(element);
  }
  return bytes;
}

std::string Unescaped(std::string_view part) {
  if (part.find('\\') == std::string_view::npos) return std::string(part);
  Result<Json> text = ParseJson("\"" + std::string(part) + "\"");
  CHECK(text.ok(), "a part of the store's own text is JSON");
  return text->get<std::string>();
}

}  // namespace

JsonRef Object::Tree() const {
  if (auto held = HeldTree()) return JsonRef(std::move(held));
  Result<Json> json = ParseJson(Text(), kStoredDepth);
  CHECK(json.ok(), "the store's own text is JSON");
  return JsonRef(std::make_shared<const Json>(std::move(json).value()));
}

std::shared_ptr<const Json> Object::HeldTree() const {
  const std::lock_guard lock(TreeMutex(this));
  return tree_;
}

bool Object::HasTree() const { return HeldTree() != nullptr; }

void Object::DropTree() const {
  std::shared_ptr<const Json> dropped;  // taken apart without the lock
  const std::lock_guard lock(TreeMutex(this));
  dropped.swap(tree_);
}

size_t Object::HeldBytes() const {
  const auto tree = HeldTree();
  return sizeof(Object) + sizeof(Body) + StringBytes(body_->text) +
         (tree == nullptr ? 0 : sizeof(Json) + TreeBytes(*tree));
}

size_t Object::TextBytes() const { return body_->text.size() + std::to_string(revision).size(); }

void Object::AppendText(std::string* out) const {
  const std::string& text = body_->text;
  const size_t at = body_->outline.version.at;
  out->append(text, 0, at);
  out->append(std::to_string(revision));
  out->append(text, at);
}

std::string Object::Text() const {
  std::string text;
  text.reserve(body_->text.size() + 20);
  AppendText(&text);
  return text;
}

std::string Object::Name() const { return Unescaped(Part(body_->outline.name)); }
std::string Object::Namespace() const { return Unescaped(Part(body_->outline.ns)); }

Json Object::Labels() const {
  if (body_->outline.labels.size == 0) return nullptr;
  Result<Json> labels = ParseJson(Part(body_->outline.labels), kStoredDepth);
  CHECK(labels.ok(), "a part of the store's own text is JSON");
  return std::move(labels).value();
}

ObjectPtr Object::AtRevision(uint64_t at_revision) const {
  return std::make_shared<const Object>(body_, at_revision, nullptr);
}

ObjectDraft DraftObject(Json json) {
  json["metadata"]["resourceVersion"] = "";
  auto body = std::make_shared<Object::Body>();
  body->text = DumpJson(json);
  body->text.shrink_to_fit();  // it stays for long
  body->outline = OutlineOf(body->text);
  CHECK(body->outline.has_version, "the text of an object has its version");
  const size_t depth = DepthOf(json);
  return {std::move(body), std::make_shared<Json>(std::move(json)), depth};
}

ObjectPtr FinishObject(ObjectDraft draft, uint64_t revision) {
  (*draft.tree)["metadata"]["resourceVersion"] = std::to_string(revision);
  return std::make_shared<const Object>(std::move(draft.body), revision, std::move(draft.tree));
}

ObjectPtr MakeObject(Json json, uint64_t revision) {
  return FinishObject(DraftObject(std::move(json)), revision);
}

Result<ObjectPtr> ReadObject(std::string text, uint64_t revision) {
  ENVICUTOR_ASSIGN(const Json checked, ParseJson(text, kStoredDepth));
  auto body = std::make_shared<Object::Body>();
  body->text = std::move(text);
  body->outline = OutlineOf(body->text);
  if (!checked.is_object() || !body->outline.has_version) {
    return InvalidArgument("no object with a metadata.resourceVersion");
  }
  body->text.erase(body->outline.version.at, body->outline.version.size);
  body->text.shrink_to_fit();
  body->outline = OutlineOf(body->text);
  return std::make_shared<const Object>(std::move(body), revision, nullptr);
}

size_t DepthOf(const Json& value) {
  if (!value.is_structured()) return 0;
  size_t inside = 0;
  for (const Json& element : value) inside = std::max(inside, DepthOf(element));
  return inside + 1;
}

bool Identical(const Json& a, const Json& b) {
  if (a.is_number() || b.is_number()) {
    if (!a.is_number() || !b.is_number() || a.is_number_float() != b.is_number_float())
      return false;
    if (a.is_number_float()) return a == b;
    const auto negative = [](const Json& n) {
      return !n.is_number_unsigned() && n.get<int64_t>() < 0;
    };
    return negative(a) == negative(b) && a.get<uint64_t>() == b.get<uint64_t>();
  }
  if (a.type() != b.type() || a.size() != b.size()) return false;
  if (!a.is_structured()) return a == b;
  auto right = b.begin();
  for (auto left = a.begin(); left != a.end(); ++left, ++right) {
    if (a.is_object() && left.key() != right.key()) return false;
    if (!Identical(*left, *right)) return false;
  }
  return true;
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
    if (left.key() != right.key() || !Identical(*left, *right)) return false;
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

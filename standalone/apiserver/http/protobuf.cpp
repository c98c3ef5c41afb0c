#include "standalone/apiserver/http/protobuf.h"

#include <map>

#include "common/base/clock.h"
#include "common/base/encoding.h"

namespace envicutor::standalone {
namespace {

constexpr int kMaxDepth = 16;

struct Message;

enum class Type { kString, kBytes, kBool, kInt, kTime, kMessage, kStringMap, kBytesMap };

struct Field {
  uint32_t number;
  const char* name;
  Type type;
  bool repeated = false;
  const Message* message = nullptr;
};

struct Message {
  std::vector<Field> fields;
};

// Field numbers: generated.proto of k8s.io/api and k8s.io/apimachinery.
const Message& OwnerReference() {
  static const Message message{{{1, "kind", Type::kString},
                                {3, "name", Type::kString},
                                {4, "uid", Type::kString},
                                {5, "apiVersion", Type::kString},
                                {6, "controller", Type::kBool},
                                {7, "blockOwnerDeletion", Type::kBool}}};
  return message;
}

const Message& ObjectMeta() {
  static const Message message{{{1, "name", Type::kString},
                                {2, "generateName", Type::kString},
                                {3, "namespace", Type::kString},
                                {5, "uid", Type::kString},
                                {6, "resourceVersion", Type::kString},
                                {7, "generation", Type::kInt},
                                {8, "creationTimestamp", Type::kTime},
                                {11, "labels", Type::kStringMap},
                                {12, "annotations", Type::kStringMap},
                                {13, "ownerReferences", Type::kMessage, true, &OwnerReference()},
                                {14, "finalizers", Type::kString, true}}};
  return message;
}

const Message& DeleteOptions() {
  static const Message preconditions{
      {{1, "uid", Type::kString}, {2, "resourceVersion", Type::kString}}};
  static const Message message{{{1, "gracePeriodSeconds", Type::kInt},
                                {2, "preconditions", Type::kMessage, false, &preconditions},
                                {3, "orphanDependents", Type::kBool},
                                {4, "propagationPolicy", Type::kString},
                                {5, "dryRun", Type::kString, true}}};
  return message;
}

const Message* FindMessage(const std::string& kind) {
  static const Message name_only{{{1, "name", Type::kString}}};
  static const Message namespace_spec{{{1, "finalizers", Type::kString, true}}};
  static const Message resource_attributes{{{1, "namespace", Type::kString},
                                            {2, "verb", Type::kString},
                                            {3, "group", Type::kString},
                                            {4, "version", Type::kString},
                                            {5, "resource", Type::kString},
                                            {6, "subresource", Type::kString},
                                            {7, "name", Type::kString}}};
  static const Message path_attributes{{{1, "path", Type::kString}, {2, "verb", Type::kString}}};
  static const Message review_spec{
      {{1, "resourceAttributes", Type::kMessage, false, &resource_attributes},
       {2, "nonResourceAttributes", Type::kMessage, false, &path_attributes}}};
  static const Field metadata{1, "metadata", Type::kMessage, false, &ObjectMeta()};
  static const std::map<std::string, Message> messages = {
      {"Namespace", {{metadata, {2, "spec", Type::kMessage, false, &namespace_spec}}}},
      {"ConfigMap",
       {{metadata,
         {2, "data", Type::kStringMap},
         {3, "binaryData", Type::kBytesMap},
         {4, "immutable", Type::kBool}}}},
      {"Secret",
       {{metadata,
         {2, "data", Type::kBytesMap},
         {3, "type", Type::kString},
         {4, "stringData", Type::kStringMap},
         {5, "immutable", Type::kBool}}}},
      {"ServiceAccount",
       {{metadata,
         {3, "imagePullSecrets", Type::kMessage, true, &name_only},
         {4, "automountServiceAccountToken", Type::kBool}}}},
      {"SelfSubjectAccessReview", {{metadata, {2, "spec", Type::kMessage, false, &review_spec}}}},
      {"SelfSubjectReview", {{metadata}}},
      {"Eviction", {{metadata, {2, "deleteOptions", Type::kMessage, false, &DeleteOptions()}}}},
      {"DeleteOptions", DeleteOptions()},
  };
  const auto it = messages.find(kind);
  return it == messages.end() ? nullptr : &it->second;
}

struct Value {
  uint32_t number = 0;
  uint64_t integer = 0;    // of a varint
  std::string_view bytes;  // of a length-delimited one
  bool is_bytes = false;
};

// Reads one field after the other; false at the end or, with `bad` set, at ill-formed bytes.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool Next(Value* value) {
    if (bad || rest_.empty()) return false;
    const uint64_t key = Varint();
    value->number = static_cast<uint32_t>(key >> 3U);
    value->is_bytes = false;
    switch (key & 7U) {
      case 0:
        value->integer = Varint();
        break;
      case 1:
        Take(8);
        break;
      case 5:
        Take(4);
        break;
      case 2:
        value->bytes = Take(Varint());
        value->is_bytes = true;
        break;
      default:
        bad = true;
    }
    return !bad;
  }
  bool bad = false;

 private:
  uint64_t Varint() {
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7fU} << shift;
      if ((byte & 0x80U) == 0) return value;
    }
    bad = true;
    return 0;
  }
  std::string_view Take(uint64_t size) {
    if (size > rest_.size()) {
      bad = true;
      return {};
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::string_view rest_;
};

class Decoder {
 public:
  Json Object(std::string_view bytes, const Message& message, int depth) {
    Json object = Json::object();
    if (depth > kMaxDepth) {
      bad = true;
      return object;
    }
    Reader reader(bytes);
    Value value;
    while (reader.Next(&value)) {
      for (const Field& field : message.fields) {
        if (field.number == value.number) Set(&object, field, value, depth);
      }
    }
    bad = bad || reader.bad;
    return object;
  }
  bool bad = false;

 private:
  void Set(Json* object, const Field& field, const Value& value, int depth) {
    const bool wants_bytes = field.type != Type::kBool && field.type != Type::kInt;
    if (wants_bytes != value.is_bytes) {
      bad = true;
      return;
    }
    Json decoded;
    switch (field.type) {
      case Type::kString:
        decoded = std::string(value.bytes);
        break;
      case Type::kBytes:
        decoded = Base64Encode(value.bytes);
        break;
      case Type::kBool:
        decoded = value.integer != 0;
        break;
      case Type::kInt:
        decoded = static_cast<int64_t>(value.integer);
        break;
      case Type::kTime:
        decoded = Time(value.bytes);
        break;
      case Type::kMessage:
        decoded = Object(value.bytes, *field.message, depth + 1);
        break;
      case Type::kStringMap:
      case Type::kBytesMap: {
        static const Message strings{{{1, "key", Type::kString}, {2, "value", Type::kString}}};
        static const Message bytes{{{1, "key", Type::kString}, {2, "value", Type::kBytes}}};
        Json entry =
            Object(value.bytes, field.type == Type::kStringMap ? strings : bytes, depth + 1);
        (*object)[field.name][GetString(entry, "key")] = GetString(entry, "value");
        return;
      }
    }
    // Go writes empty strings too, where JSON leaves them out (those in lists and maps mean
    // something).
    if (decoded.is_null() || (decoded == "" && !field.repeated)) return;
    if (field.repeated) {
      (*object)[field.name].push_back(std::move(decoded));
    } else {
      (*object)[field.name] = std::move(decoded);
    }
  }

  Json Time(std::string_view bytes) {
    Reader reader(bytes);
    Value value;
    uint64_t seconds = 0;
    while (reader.Next(&value)) {
      if (value.number == 1 && !value.is_bytes) seconds = value.integer;
    }
    bad = bad || reader.bad;
    // The zero time (year 1) is a negative count: absent.
    if (seconds == 0 || seconds > 253'402'300'799) return nullptr;
    return FormatRfc3339(WallTime(std::chrono::seconds(seconds)));
  }
};

}  // namespace

ApiResult<Json> DecodeProtobuf(std::string_view bytes) {
  constexpr std::string_view kMagic("k8s\0", 4);
  const ApiError ill_formed = BadRequestError("the body is not a Kubernetes protobuf message");
  if (bytes.substr(0, kMagic.size()) != kMagic) return ill_formed;
  static const Message type_meta{{{1, "apiVersion", Type::kString}, {2, "kind", Type::kString}}};
  Reader reader(bytes.substr(kMagic.size()));
  Value value;
  Json type = Json::object();
  std::string_view raw;
  Decoder decoder;
  while (reader.Next(&value)) {
    if (!value.is_bytes) continue;
    if (value.number == 1) type = decoder.Object(value.bytes, type_meta, 0);
    if (value.number == 2) raw = value.bytes;
  }
  if (reader.bad || decoder.bad) return ill_formed;
  const std::string kind = GetString(type, "kind");
  const Message* message = FindMessage(kind);
  if (message == nullptr) {
    return UnsupportedMediaTypeError("protobuf bodies of kind \"" + kind.substr(0, 128) +
                                     "\" are not supported by this API server: send "
                                     "application/json");
  }
  Json object = decoder.Object(raw, *message, 0);
  if (decoder.bad) return ill_formed;
  object["apiVersion"] = GetString(type, "apiVersion");
  object["kind"] = kind;
  return object;
}

}  // namespace envicutor::standalone

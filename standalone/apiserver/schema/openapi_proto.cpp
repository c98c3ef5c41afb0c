// gnostic's openapi.v2 messages on the wire. Field numbers: openapi_v2/OpenAPIv2.proto of
// github.com/google/gnostic-models; only what OpenApiV2Document writes is encoded.
#include <array>
#include <bit>

#include "standalone/apiserver/schema/openapi.h"

namespace envicutor::standalone::schema {
namespace {

// Writes one message; nested messages are strings.
class Message {
 public:
  void Varint(int field, uint64_t value) {
    Key(field, 0);
    Raw(value);
  }
  void Bool(int field, bool value) {
    if (value) Varint(field, 1);
  }
  void Double(int field, double value) {
    Key(field, 1);
    auto bits = std::bit_cast<uint64_t>(value);
    for (int i = 0; i < 8; ++i, bits >>= 8U) out_.push_back(static_cast<char>(bits & 0xFFU));
  }
  void Bytes(int field, std::string_view value) {
    Key(field, 2);
    Raw(value.size());
    out_ += value;
  }
  // Proto3 leaves empty strings out.
  void Text(int field, const Json& object, std::string_view key) {
    const std::string value = GetString(object, key);
    if (!value.empty()) Bytes(field, value);
  }
  void Texts(int field, const Json& object, std::string_view key) {
    const Json& list = At(object, {key});
    if (!list.is_array()) return;
    for (const Json& each : list) {
      if (each.is_string()) Bytes(field, each.get_ref<const std::string&>());
    }
  }
  [[nodiscard]] std::string Take() { return std::move(out_); }

 private:
  void Key(int field, unsigned wire) {
    Raw((static_cast<uint64_t>(static_cast<unsigned>(field)) << 3U) | wire);
  }
  void Raw(uint64_t value) {
    while (value >= 0x80) {
      out_.push_back(static_cast<char>((value & 0x7FU) | 0x80U));
      value >>= 7U;
    }
    out_.push_back(static_cast<char>(value));
  }

  std::string out_;
};

std::string Named(std::string_view name, const std::string& value) {
  Message message;
  message.Bytes(1, name);
  message.Bytes(2, value);
  return message.Take();
}

// Any { yaml = 2 }: JSON is YAML.
std::string AnyValue(const Json& value) {
  Message message;
  message.Bytes(2, DumpJson(value) + "\n");
  return message.Take();
}

void Extensions(const Json& object, int field, Message* message) {
  for (auto it = object.begin(); it != object.end(); ++it) {
    if (it.key().starts_with("x-")) message->Bytes(field, Named(it.key(), AnyValue(*it)));
  }
}

std::string SchemaMessage(const Json& schema);

std::string PropertiesMessage(const Json& properties) {
  Message message;
  for (auto it = properties.begin(); it != properties.end(); ++it) {
    message.Bytes(1, Named(it.key(), SchemaMessage(*it)));
  }
  return message.Take();
}

void SchemaBounds(const Json& schema, Message* message) {
  struct Field {
    const char* key;
    int number;
  };
  constexpr std::array<Field, 3> kDoubles = {{{"multipleOf", 6}, {"maximum", 7}, {"minimum", 9}}};
  constexpr std::array<Field, 6> kCounts = {{{"maxLength", 11},
                                             {"minLength", 12},
                                             {"maxItems", 14},
                                             {"minItems", 15},
                                             {"maxProperties", 17},
                                             {"minProperties", 18}}};
  for (const Field& field : kDoubles) {
    const Json& value = At(schema, {field.key});
    if (value.is_number()) message->Double(field.number, value.get<double>());
  }
  message->Bool(8, GetBool(schema, "exclusiveMaximum"));
  message->Bool(10, GetBool(schema, "exclusiveMinimum"));
  for (const Field& field : kCounts) {
    const Json& value = At(schema, {field.key});
    if (value.is_number_integer()) {
      message->Varint(field.number, static_cast<uint64_t>(value.get<int64_t>()));
    }
  }
}

std::string SchemaMessage(const Json& schema) {
  Message message;
  message.Text(1, schema, "$ref");
  message.Text(2, schema, "format");
  message.Text(3, schema, "title");
  message.Text(4, schema, "description");
  SchemaBounds(schema, &message);
  message.Text(13, schema, "pattern");
  message.Texts(19, schema, "required");
  if (const Json& values = At(schema, {"enum"}); values.is_array()) {
    for (const Json& value : values) message.Bytes(20, AnyValue(value));
  }
  if (const Json& additional = At(schema, {"additionalProperties"}); !additional.is_null()) {
    Message item;
    if (additional.is_boolean()) {
      item.Varint(2, additional.get<bool>() ? 1 : 0);
    } else {
      item.Bytes(1, SchemaMessage(additional));
    }
    message.Bytes(21, item.Take());
  }
  if (const std::string type = GetString(schema, "type"); !type.empty()) {
    Message item;
    item.Bytes(1, type);
    message.Bytes(22, item.Take());
  }
  if (const Json& items = At(schema, {"items"}); items.is_object()) {
    Message item;
    item.Bytes(1, SchemaMessage(items));
    message.Bytes(23, item.Take());
  }
  if (const Json& properties = At(schema, {"properties"}); properties.is_object()) {
    message.Bytes(25, PropertiesMessage(properties));
  }
  Extensions(schema, 31, &message);
  return message.Take();
}

// ParametersItem > Parameter > BodyParameter or NonBodyParameter > query or path.
std::string ParameterMessage(const Json& parameter) {
  const std::string in = GetString(parameter, "in");
  Message inner;
  Message choice;
  if (in == "body") {
    inner.Text(1, parameter, "description");
    inner.Text(2, parameter, "name");
    inner.Bytes(3, in);
    inner.Bool(4, GetBool(parameter, "required"));
    inner.Bytes(5, SchemaMessage(At(parameter, {"schema"})));
    choice.Bytes(1, inner.Take());
  } else {
    const bool query = in == "query";
    inner.Bool(1, GetBool(parameter, "required"));
    inner.Bytes(2, in);
    inner.Text(3, parameter, "description");
    inner.Text(4, parameter, "name");
    inner.Text(query ? 6 : 5, parameter, "type");
    Message non_body;
    non_body.Bytes(query ? 3 : 4, inner.Take());
    choice.Bytes(2, non_body.Take());
  }
  Message item;
  item.Bytes(1, choice.Take());
  return item.Take();
}

std::string ResponsesMessage(const Json& responses) {
  Message message;
  for (auto it = responses.begin(); it != responses.end(); ++it) {
    Message response;
    response.Text(1, *it, "description");
    if (const Json& schema = At(*it, {"schema"}); schema.is_object()) {
      Message item;
      item.Bytes(1, SchemaMessage(schema));
      response.Bytes(2, item.Take());
    }
    Message value;
    value.Bytes(1, response.Take());
    message.Bytes(1, Named(it.key(), value.Take()));
  }
  return message.Take();
}

std::string OperationMessage(const Json& operation) {
  Message message;
  message.Text(3, operation, "description");
  message.Text(5, operation, "operationId");
  message.Texts(6, operation, "produces");
  message.Texts(7, operation, "consumes");
  for (const Json& parameter : At(operation, {"parameters"})) {
    message.Bytes(8, ParameterMessage(parameter));
  }
  message.Bytes(9, ResponsesMessage(At(operation, {"responses"})));
  message.Texts(10, operation, "schemes");
  Extensions(operation, 13, &message);
  return message.Take();
}

std::string PathMessage(const Json& path) {
  struct Verb {
    const char* name;
    int number;
  };
  constexpr std::array<Verb, 5> kVerbs = {
      {{"get", 2}, {"put", 3}, {"post", 4}, {"delete", 5}, {"patch", 8}}};
  Message message;
  for (const Verb& verb : kVerbs) {
    const Json& operation = At(path, {verb.name});
    if (operation.is_object()) message.Bytes(verb.number, OperationMessage(operation));
  }
  for (const Json& parameter : At(path, {"parameters"})) {
    message.Bytes(9, ParameterMessage(parameter));
  }
  return message.Take();
}

}  // namespace

std::string OpenApiV2Protobuf(const Json& v2_document) {
  Message document;
  document.Text(1, v2_document, "swagger");
  Message info;
  info.Text(1, At(v2_document, {"info"}), "title");
  info.Text(2, At(v2_document, {"info"}), "version");
  document.Bytes(2, info.Take());
  Message paths;
  const Json& all_paths = At(v2_document, {"paths"});
  for (auto it = all_paths.begin(); it != all_paths.end(); ++it) {
    paths.Bytes(2, Named(it.key(), PathMessage(*it)));
  }
  document.Bytes(8, paths.Take());
  document.Bytes(9, PropertiesMessage(At(v2_document, {"definitions"})));
  return document.Take();
}

}  // namespace envicutor::standalone::schema

// Values of CEL. Aggregates and strings of the checked object are borrowed, not copied: values do
// not outlive the evaluation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/json.h"

namespace envicutor::standalone::schema {
struct SchemaNode;
}

namespace envicutor::standalone::schema::cel {

enum class Kind {
  kError,
  kNull,
  kBool,
  kInt,
  kUint,
  kDouble,
  kString,
  kBytes,
  kList,
  kMap,
  kDuration,   // nanoseconds in `integer`
  kTimestamp,  // nanoseconds since 1970 in `integer`
  kQuantity,
  kOptional,
  kType,  // its name in `text`
};
// As type() and error messages name it: "int", "google.protobuf.Duration".
[[nodiscard]] std::string_view KindName(Kind kind);

// A Kubernetes quantity: mantissa * 10^exponent, with the text it was made from.
struct Quantity;

struct Value {
  using List = std::vector<Value>;
  using Map = std::vector<std::pair<Value, Value>>;

  Kind kind = Kind::kNull;
  bool boolean = false;
  int64_t integer = 0;
  uint64_t uinteger = 0;
  double number = 0;
  std::string_view text;                     // string, bytes, type name, error message
  std::shared_ptr<const std::string> owner;  // of text, where it is not borrowed
  const Json* json = nullptr;                // list or map that is part of the object
  const SchemaNode* node = nullptr;          // its schema; null: as JSON says
  std::shared_ptr<const List> list;
  std::shared_ptr<const Map> map;
  std::shared_ptr<const Value> inner;  // optional: its value; null for none
  std::shared_ptr<const Quantity> quantity;

  [[nodiscard]] bool IsError() const { return kind == Kind::kError; }
};

[[nodiscard]] Value ErrorValue(std::string message);
[[nodiscard]] Value NullValue();
[[nodiscard]] Value BoolValue(bool value);
[[nodiscard]] Value IntValue(int64_t value);
[[nodiscard]] Value UintValue(uint64_t value);
[[nodiscard]] Value DoubleValue(double value);
[[nodiscard]] Value StringValue(std::string value);
[[nodiscard]] Value BorrowedString(std::string_view value);
// A part of `of`'s text, which goes on to own it.
[[nodiscard]] Value SubString(const Value& of, size_t begin, size_t length);
[[nodiscard]] Value BytesValue(std::string value);
[[nodiscard]] Value ListValue(Value::List list);
[[nodiscard]] Value MapValue(Value::Map map);
[[nodiscard]] Value DurationValue(int64_t nanos);
[[nodiscard]] Value TimestampValue(int64_t nanos);
[[nodiscard]] Value OptionalValue(Value inner);
[[nodiscard]] Value OptionalNone();
[[nodiscard]] Value TypeValue(std::string_view name);

// Part of an object as its schema says: formats date-time, duration and byte become their CEL
// types, `number` is a double. `json` must outlive the value. An error where value and schema
// disagree.
[[nodiscard]] Value FromJson(const Json& json, const SchemaNode* node);

// Of lists and maps.
[[nodiscard]] size_t Size(const Value& value);
[[nodiscard]] Value ElementAt(const Value& list, size_t index);
// Key and value in the order of the map.
[[nodiscard]] std::vector<Value> Keys(const Value& map);
// False when there is no such key.
[[nodiscard]] bool Lookup(const Value& map, const Value& key, Value* out);

// Code points of UTF-8 text.
[[nodiscard]] int64_t CodePoints(std::string_view text);

// CEL equality: numbers compare across kinds, different kinds are unequal, list types set and map
// compare without order. Takes its work from *budget and gives up (false) when that is used up.
[[nodiscard]] bool Equal(const Value& a, const Value& b, int64_t* budget);
// -1, 0, 1 in *order; false when the two have no order (different kinds, NaN).
[[nodiscard]] bool Compare(const Value& a, const Value& b, int* order);

}  // namespace envicutor::standalone::schema::cel

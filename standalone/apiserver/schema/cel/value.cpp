#include "standalone/apiserver/schema/cel/value.h"

#include <algorithm>
#include <cmath>

#include "common/base/clock.h"
#include "common/base/encoding.h"
#include "standalone/apiserver/schema/cel/duration.h"
#include "standalone/apiserver/schema/cel/quantity.h"
#include "standalone/apiserver/schema/node.h"
#include "standalone/apiserver/schema/regex_program.h"

namespace envicutor::standalone::schema::cel {
namespace {

Value OfKind(Kind kind) {
  Value value;
  value.kind = kind;
  return value;
}

Value OwnedText(Kind kind, std::string text) {
  Value value = OfKind(kind);
  value.owner = std::make_shared<const std::string>(std::move(text));
  value.text = *value.owner;
  return value;
}

Value BorrowedAggregate(Kind kind, const Json& json, const SchemaNode* node) {
  Value value = OfKind(kind);
  value.json = &json;
  value.node = node;
  return value;
}

Value FromText(const std::string& text, const SchemaNode* node) {
  if (node == nullptr || node->type != NodeType::kString) return BorrowedString(text);
  if (node->format == "date-time") {
    const Result<WallTime> time = ParseRfc3339(text);
    if (!time.ok()) return ErrorValue("invalid data, expected a date-time");
    return TimestampValue(time->time_since_epoch().count());
  }
  if (node->format == "duration") {
    const Result<int64_t> nanos = ParseGoDuration(text);
    return nanos.ok() ? DurationValue(*nanos) : ErrorValue("invalid data, expected a duration");
  }
  if (node->format == "byte") {
    Result<std::string> bytes = Base64Decode(text);
    return bytes.ok() ? BytesValue(*std::move(bytes)) : ErrorValue("invalid data, expected base64");
  }
  return BorrowedString(text);
}

Value FromNumber(const Json& json, const SchemaNode* node) {
  if (node != nullptr && node->type == NodeType::kNumber) return DoubleValue(json.get<double>());
  if (json.is_number_float()) {
    const auto number = json.get<double>();
    if (node != nullptr && node->type == NodeType::kInteger && std::trunc(number) == number &&
        std::fabs(number) < 9e18) {
      return IntValue(static_cast<int64_t>(number));
    }
    return DoubleValue(number);
  }
  if (json.is_number_unsigned() && json.get<uint64_t>() > uint64_t{INT64_MAX}) {
    return DoubleValue(json.get<double>());
  }
  return IntValue(json.get<int64_t>());
}

const SchemaNode* MemberNode(const Value& map, std::string_view key) {
  return map.node == nullptr ? nullptr : map.node->Member(key);
}

bool IsNumber(Kind kind) {
  return kind == Kind::kInt || kind == Kind::kUint || kind == Kind::kDouble;
}

// Exact across the three kinds; false for NaN.
bool CompareNumbers(const Value& a, const Value& b, int* order) {
  const auto sign = [](auto x, auto y) { return x < y ? -1 : x > y ? 1 : 0; };
  if (a.kind == b.kind && a.kind == Kind::kInt) {
    *order = sign(a.integer, b.integer);
    return true;
  }
  if (a.kind == b.kind && a.kind == Kind::kUint) {
    *order = sign(a.uinteger, b.uinteger);
    return true;
  }
  if (a.kind == Kind::kInt && b.kind == Kind::kUint) {
    *order = a.integer < 0 ? -1 : sign(static_cast<uint64_t>(a.integer), b.uinteger);
    return true;
  }
  if (a.kind == Kind::kUint && b.kind == Kind::kInt) {
    *order = b.integer < 0 ? 1 : sign(a.uinteger, static_cast<uint64_t>(b.integer));
    return true;
  }
  const auto as_double = [](const Value& v) -> long double {
    if (v.kind == Kind::kInt) return static_cast<long double>(v.integer);
    if (v.kind == Kind::kUint) return static_cast<long double>(v.uinteger);
    return v.number;
  };
  const long double x = as_double(a);
  const long double y = as_double(b);
  if (std::isnan(x) || std::isnan(y)) return false;
  *order = sign(x, y);
  return true;
}

bool SameElement(const Value& list, const Value& a, const Value& b, int64_t* budget) {
  if (list.node == nullptr || list.node->list_type != ListType::kMap) return Equal(a, b, budget);
  // Elements of a map list are the same when their keys are.
  for (const std::string& key : list.node->list_keys) {
    Value x;
    Value y;
    const bool has_x = Lookup(a, BorrowedString(key), &x);
    const bool has_y = Lookup(b, BorrowedString(key), &y);
    if (has_x != has_y || (has_x && !Equal(x, y, budget))) return false;
  }
  return true;
}

// Whether each element of `a` has an equal one in `b`; *in_place: all of them at the same index.
bool Covers(const Value& a, const Value& b, const Value& typed, int64_t* budget, bool* in_place) {
  const size_t size = Size(a);
  *in_place = true;
  for (size_t i = 0; i < size; ++i) {
    const Value element = ElementAt(a, i);
    bool found = false;
    for (size_t k = 0; k < size && !found && *budget >= 0; ++k) {
      // Nearly always at the same place: start there.
      const Value other = ElementAt(b, (i + k) % size);
      if (!SameElement(typed, element, other, budget)) continue;
      if (!Equal(element, other, budget)) return false;
      found = true;
      if (k > 0) *in_place = false;
    }
    if (!found) return false;
  }
  return true;
}

bool EqualLists(const Value& a, const Value& b, int64_t* budget) {
  const size_t size = Size(a);
  if (size != Size(b)) return false;
  const Value& typed = a.node != nullptr ? a : b;
  if (typed.node == nullptr || typed.node->list_type == ListType::kAtomic) {
    for (size_t i = 0; i < size; ++i) {
      if (!Equal(ElementAt(a, i), ElementAt(b, i), budget)) return false;
    }
    return true;
  }
  // Both ways, as a list that is not valid may hold an element twice.
  bool in_place = false;
  if (!Covers(a, b, typed, budget, &in_place)) return false;
  return in_place || Covers(b, a, typed, budget, &in_place);
}

bool EqualMaps(const Value& a, const Value& b, int64_t* budget) {
  if (Size(a) != Size(b)) return false;
  for (const Value& key : Keys(a)) {
    Value x;
    Value y;
    if (!Lookup(a, key, &x) || !Lookup(b, key, &y) || !Equal(x, y, budget)) return false;
  }
  return true;
}

}  // namespace

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kError:
      return "error";
    case Kind::kNull:
      return "null_type";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kUint:
      return "uint";
    case Kind::kDouble:
      return "double";
    case Kind::kString:
      return "string";
    case Kind::kBytes:
      return "bytes";
    case Kind::kList:
      return "list";
    case Kind::kMap:
      return "map";
    case Kind::kDuration:
      return "google.protobuf.Duration";
    case Kind::kTimestamp:
      return "google.protobuf.Timestamp";
    case Kind::kQuantity:
      return "kubernetes.Quantity";
    case Kind::kOptional:
      return "optional_type";
    case Kind::kType:
      return "type";
  }
  return "";
}

Value ErrorValue(std::string message) { return OwnedText(Kind::kError, std::move(message)); }
Value NullValue() { return OfKind(Kind::kNull); }
Value BoolValue(bool value) {
  Value v = OfKind(Kind::kBool);
  v.boolean = value;
  return v;
}
Value IntValue(int64_t value) {
  Value v = OfKind(Kind::kInt);
  v.integer = value;
  return v;
}
Value UintValue(uint64_t value) {
  Value v = OfKind(Kind::kUint);
  v.uinteger = value;
  return v;
}
Value DoubleValue(double value) {
  Value v = OfKind(Kind::kDouble);
  v.number = value;
  return v;
}
Value StringValue(std::string value) { return OwnedText(Kind::kString, std::move(value)); }
Value BorrowedString(std::string_view value) {
  Value v = OfKind(Kind::kString);
  v.text = value;
  return v;
}
Value SubString(const Value& of, size_t begin, size_t length) {
  Value v = OfKind(Kind::kString);
  v.owner = of.owner;
  v.text = of.text.substr(begin, length);
  return v;
}
Value BytesValue(std::string value) { return OwnedText(Kind::kBytes, std::move(value)); }
Value ListValue(Value::List list) {
  Value v = OfKind(Kind::kList);
  v.list = std::make_shared<const Value::List>(std::move(list));
  return v;
}
Value MapValue(Value::Map map) {
  Value v = OfKind(Kind::kMap);
  v.map = std::make_shared<const Value::Map>(std::move(map));
  return v;
}
Value DurationValue(int64_t nanos) {
  Value v = OfKind(Kind::kDuration);
  v.integer = nanos;
  return v;
}
Value TimestampValue(int64_t nanos) {
  Value v = OfKind(Kind::kTimestamp);
  v.integer = nanos;
  return v;
}
Value OptionalValue(Value inner) {
  Value v = OfKind(Kind::kOptional);
  v.inner = std::make_shared<const Value>(std::move(inner));
  return v;
}
Value OptionalNone() { return OfKind(Kind::kOptional); }
Value TypeValue(std::string_view name) { return OwnedText(Kind::kType, std::string(name)); }

Value FromJson(const Json& json, const SchemaNode* node) {
  switch (json.type()) {
    case Json::value_t::boolean:
      return BoolValue(json.get<bool>());
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float:
      return FromNumber(json, node);
    case Json::value_t::string:
      return FromText(json.get_ref<const std::string&>(), node);
    case Json::value_t::array:
      return BorrowedAggregate(Kind::kList, json, node);
    case Json::value_t::object:
      return BorrowedAggregate(Kind::kMap, json, node);
    default:
      return NullValue();
  }
}

size_t Size(const Value& value) {
  if (value.json != nullptr) return value.json->size();
  if (value.list != nullptr) return value.list->size();
  return value.map != nullptr ? value.map->size() : 0;
}

Value ElementAt(const Value& list, size_t index) {
  if (list.json == nullptr) return (*list.list)[index];
  const SchemaNode* items = list.node == nullptr ? nullptr : list.node->items.get();
  return FromJson((*list.json)[index], items);
}

std::vector<Value> Keys(const Value& map) {
  std::vector<Value> keys;
  keys.reserve(Size(map));
  if (map.json != nullptr) {
    for (auto it = map.json->begin(); it != map.json->end(); ++it) {
      keys.push_back(BorrowedString(it.key()));
    }
  } else if (map.map != nullptr) {
    for (const auto& [key, value] : *map.map) keys.push_back(key);
  }
  return keys;
}

bool Lookup(const Value& map, const Value& key, Value* out) {
  if (map.json != nullptr) {
    if (key.kind != Kind::kString) return false;
    const auto it = map.json->find(key.text);
    if (it == map.json->end()) return false;
    *out = FromJson(*it, MemberNode(map, key.text));
    return true;
  }
  if (map.map == nullptr) return false;
  for (const auto& [k, v] : *map.map) {
    int64_t budget = INT64_MAX;
    if (Equal(k, key, &budget)) {
      *out = v;
      return true;
    }
  }
  return false;
}

int64_t CodePoints(std::string_view text) {
  int64_t count = 0;
  for (size_t pos = 0; pos < text.size(); ++count) (void)DecodeUtf8(text, &pos);
  return count;
}

bool Equal(const Value& a, const Value& b, int64_t* budget) {
  if (--*budget < 0) return false;
  if (IsNumber(a.kind) && IsNumber(b.kind)) {
    int order = 0;
    return CompareNumbers(a, b, &order) && order == 0;
  }
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kNull:
      return true;
    case Kind::kBool:
      return a.boolean == b.boolean;
    case Kind::kString:
    case Kind::kBytes:
    case Kind::kType:
      *budget -= static_cast<int64_t>(std::min(a.text.size(), b.text.size()) / 10);
      return a.text == b.text;
    case Kind::kDuration:
    case Kind::kTimestamp:
      return a.integer == b.integer;
    case Kind::kQuantity:
      return cel::Compare(*a.quantity, *b.quantity) == 0;
    case Kind::kList:
      return EqualLists(a, b, budget);
    case Kind::kMap:
      return EqualMaps(a, b, budget);
    case Kind::kOptional:
      if (a.inner == nullptr || b.inner == nullptr) return a.inner == b.inner;
      return Equal(*a.inner, *b.inner, budget);
    default:
      return false;
  }
}

bool Compare(const Value& a, const Value& b, int* order) {
  if (IsNumber(a.kind) && IsNumber(b.kind)) return CompareNumbers(a, b, order);
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kBool:
      *order = static_cast<int>(a.boolean) - static_cast<int>(b.boolean);
      return true;
    case Kind::kString:
    case Kind::kBytes: {
      const int c = a.text.compare(b.text);
      *order = c < 0 ? -1 : c > 0 ? 1 : 0;
      return true;
    }
    case Kind::kDuration:
    case Kind::kTimestamp:
      *order = a.integer < b.integer ? -1 : a.integer > b.integer ? 1 : 0;
      return true;
    case Kind::kQuantity:
      *order = cel::Compare(*a.quantity, *b.quantity);
      return true;
    default:
      return false;
  }
}

}  // namespace envicutor::standalone::schema::cel

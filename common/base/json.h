// JSON without surprises: bounded parsing, dumping that cannot throw, typed readers that name the
// field. Objects are sorted vectors (flat_map.h), and text is read and written by our own code
// (json_parse.cpp, json_dump.cpp): with nlohmann's, a quarter of every daemon's CPU went there
// (docs/adr/0013-json-without-nodes.md).
//
// An iterator into an object, or a reference to one of its members, is valid until a member is
// added to or erased from that same object; `object["a"] = object["b"]` may add first: copy then.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/flat_map.h"
#include "common/base/status.h"

namespace envicutor {

using Json =
    nlohmann::basic_json<FlatMap, std::vector, std::string, bool, int64_t, uint64_t, double>;

// Refuses more than `max_depth` nested arrays and objects (a parser's stack is an attack surface)
// and numbers outside int64/uint64/double. Duplicate keys: the last one wins, as in nlohmann.
[[nodiscard]] Result<Json> ParseJson(std::string_view text, int max_depth = 128);

// Never throws: ill-formed UTF-8 is replaced by U+FFFD. `indent` -1 is one line.
[[nodiscard]] std::string DumpJson(const Json& value, int indent = -1);
// The same in one line at the end of `*out`, and a string as JSON writes it, in its quotes.
void AppendJson(const Json& value, std::string* out);
void AppendJsonString(std::string_view text, std::string* out);

// Reads of optional members of an object; the default when absent or null or of another type.
[[nodiscard]] std::string GetString(const Json& object, std::string_view key,
                                    std::string fallback = "");
// The same without a copy: valid until `object` is written to, or `fallback`'s text ends.
[[nodiscard]] std::string_view GetView(const Json& object, std::string_view key,
                                       std::string_view fallback = "");
[[nodiscard]] int64_t GetInt(const Json& object, std::string_view key, int64_t fallback = 0);
[[nodiscard]] bool GetBool(const Json& object, std::string_view key, bool fallback = false);
// The member if it is there (any type but null), else a shared null value. Paths: At(obj, {"spec",
// "run"}).
[[nodiscard]] const Json& At(const Json& object, std::initializer_list<std::string_view> path);
[[nodiscard]] const Json& Member(const Json& object, std::string_view key);

// The same for wire formats between our own parts, where a wrong type is an error:
// "field \"run.limits.memory\" must be an integer". Absent or null leaves `*out` as it is.
[[nodiscard]] Status ReadString(const Json& object, std::string_view key, std::string* out);
[[nodiscard]] Status ReadInt(const Json& object, std::string_view key, int64_t* out);
[[nodiscard]] Status ReadBool(const Json& object, std::string_view key, bool* out);

}  // namespace envicutor

// Structured log: one line an event on stderr, JSON (default, for machines) or text (terminals).
//
//   log::Info("run finished", {{"uid", uid}, {"verdict", verdict}, {"wallMillis", "12"}});
//
// Lines about one submission carry the same fields, first (api::LogContext makes them):
//
//   log::Info("run finished", context, {{"verdict", verdict}});
//
// Values are strings; bytes that are not UTF-8 or printable are escaped, each value is cut at 4
// KiB. Thread-safe; a line is one write(2).
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace envicutor::log {

enum class Level { kDebug, kInfo, kWarn, kError };
enum class Format { kJson, kText };
using Field = std::pair<std::string_view, std::string>;
using Context = std::vector<std::pair<std::string, std::string>>;

// Call once, before threads start. `component` is put into every line.
void Configure(std::string component, Level minimum, Format format);
void SetLevel(Level minimum);  // at any time

void Write(Level level, std::string_view message, const Context& context,
           std::initializer_list<Field> fields);
inline void Write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  Write(level, message, Context(), fields);
}
inline void Debug(std::string_view m, std::initializer_list<Field> f = {}) {
  Write(Level::kDebug, m, f);
}
inline void Info(std::string_view m, std::initializer_list<Field> f = {}) {
  Write(Level::kInfo, m, f);
}
inline void Info(std::string_view m, const Context& c, std::initializer_list<Field> f) {
  Write(Level::kInfo, m, c, f);
}
inline void Warn(std::string_view m, std::initializer_list<Field> f = {}) {
  Write(Level::kWarn, m, f);
}
inline void Warn(std::string_view m, const Context& c, std::initializer_list<Field> f) {
  Write(Level::kWarn, m, c, f);
}
inline void Error(std::string_view m, std::initializer_list<Field> f = {}) {
  Write(Level::kError, m, f);
}
inline void Error(std::string_view m, const Context& c, std::initializer_list<Field> f) {
  Write(Level::kError, m, c, f);
}

}  // namespace envicutor::log

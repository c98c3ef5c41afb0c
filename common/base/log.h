// Structured log: one line an event on stderr, JSON (default, for machines) or text (terminals).
//
//   log::Info("run finished", {{"uid", uid}, {"verdict", verdict}, {"wallMillis", "12"}});
//
// Values are strings; bytes that are not UTF-8 or printable are escaped, each value is cut at 4
// KiB. Thread-safe; a line is one write(2).
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace envicutor::log {

enum class Level { kDebug, kInfo, kWarn, kError };
enum class Format { kJson, kText };
using Field = std::pair<std::string_view, std::string>;

// Call once, before threads start. `component` is put into every line.
void Configure(std::string component, Level minimum, Format format);

void Write(Level level, std::string_view message, std::initializer_list<Field> fields);
inline void Debug(std::string_view m, std::initializer_list<Field> f = {}) {
  Write(Level::kDebug, m, f);
}
inline void Info(std::string_view m, std::initializer_list<Field> f = {}) {
  Write(Level::kInfo, m, f);
}
inline void Warn(std::string_view m, std::initializer_list<Field> f = {}) {
  Write(Level::kWarn, m, f);
}
inline void Error(std::string_view m, std::initializer_list<Field> f = {}) {
  Write(Level::kError, m, f);
}

}  // namespace envicutor::log

#include "common/base/log.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>

#include "common/base/clock.h"

namespace envicutor::log {
namespace {

constexpr size_t kMaxValueBytes = 4096;

// Set once by Configure before threads start; read-only after.
std::string& Component() {
  static std::string component = "envicutor";
  return component;
}
std::atomic<Level> minimum_level{Level::kInfo};
std::atomic<Format> line_format{Format::kJson};

std::string_view LevelName(Level level) {
  switch (level) {
    case Level::kDebug:
      return "debug";
    case Level::kInfo:
      return "info";
    case Level::kWarn:
      return "warn";
    case Level::kError:
      return "error";
  }
  return "?";
}

// Every byte outside printable ASCII is escaped: a log line can be neither forged nor broken by a
// program's output, whatever its encoding.
void AppendQuoted(std::string& out, std::string_view value) {
  out += '"';
  for (const char c : value.substr(0, kMaxValueBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte >= 0x7f) {
      std::array<char, 8> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\u%04x", byte);
      out += escaped.data();
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace

void Configure(std::string component, Level minimum, Format format) {
  Component() = std::move(component);
  minimum_level = minimum;
  line_format = format;
}

void SetLevel(Level minimum) { minimum_level = minimum; }

void Write(Level level, std::string_view message, const Context& context,
           std::initializer_list<Field> fields) {
  if (level < minimum_level.load(std::memory_order_relaxed)) return;
  const bool json = line_format.load(std::memory_order_relaxed) == Format::kJson;
  const std::string time = FormatRfc3339Micro(SystemClock().WallNow());
  std::string line;
  const auto add = [&](std::string_view key, std::string_view value) {
    line += json ? ',' : ' ';
    if (json) {
      AppendQuoted(line, key);
    } else {
      line += key;
    }
    line += json ? ':' : '=';
    AppendQuoted(line, value);
  };
  if (json) {
    line = R"({"time":")" + time + R"(","level":")" + std::string(LevelName(level)) +
           R"(","component":)";
    AppendQuoted(line, Component());
    line += R"(,"msg":)";
    AppendQuoted(line, message);
  } else {
    line = time + " " + std::string(LevelName(level)) + " " + Component() + ": ";
    line += message;
  }
  for (const auto& [key, value] : context) add(key, value);
  for (const auto& [key, value] : fields) add(key, value);
  line += json ? "}\n" : "\n";
  // A log that cannot be written has nowhere to complain.
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace envicutor::log

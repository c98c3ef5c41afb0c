// Command lines: --name VALUE, --name=VALUE, -n VALUE, switches, positional arguments, and what
// follows
// "--". A mistake is told with the flag's name.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/base/status.h"

namespace envicutor::standalone {

// The one of `names` that `word` may have been meant to be, or "".
[[nodiscard]] std::string Nearest(const std::string& word, const std::vector<std::string>& names);

class Flags {
 public:
  // `usage`: "run FILE [flags] [-- ARGS...]"; `about`: what it does, one paragraph.
  Flags(std::string usage, std::string about);

  // Declares; the values may be changed by Parse. `short_name` 0: none.
  void String(const std::string& name, std::string* value, const std::string& placeholder,
              const std::string& help, char short_name = 0);
  void Int(const std::string& name, int64_t* value, const std::string& help);
  void Bool(const std::string& name, bool* value, const std::string& help);
  void List(const std::string& name, std::vector<std::string>* values,
            const std::string& placeholder, const std::string& help);

  // Command lines that the help shows.
  void Examples(std::vector<std::string> lines) { examples_ = std::move(lines); }

  // argv without the program's and the command's names.
  [[nodiscard]] Status Parse(const std::vector<std::string>& argv);

  [[nodiscard]] bool help_wanted() const { return help_; }
  [[nodiscard]] const std::vector<std::string>& positional() const { return positional_; }
  [[nodiscard]] const std::vector<std::string>& rest() const { return rest_; }  // after "--"
  [[nodiscard]] bool given(const std::string& name) const { return given_.contains(name); }
  [[nodiscard]] std::string Help() const;
  // The command's name: the first word of its usage.
  [[nodiscard]] std::string command() const { return usage_.substr(0, usage_.find(' ')); }

 private:
  struct Flag {
    std::string placeholder;
    std::string help;
    char short_name = 0;
    std::string* text = nullptr;
    int64_t* number = nullptr;
    bool* on = nullptr;
    std::vector<std::string>* list = nullptr;
  };
  [[nodiscard]] Status Set(const std::string& name, const Flag& flag, const std::string& value);
  [[nodiscard]] std::map<std::string, Flag>::const_iterator Find(const std::string& argument) const;

  std::string usage_;
  std::string about_;
  std::vector<std::string> examples_;
  std::map<std::string, Flag> flags_;
  std::map<std::string, bool> given_;
  std::vector<std::string> positional_;
  std::vector<std::string> rest_;
  bool help_ = false;
};

}  // namespace envicutor::standalone

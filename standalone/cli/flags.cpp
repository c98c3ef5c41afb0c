#include "standalone/cli/flags.h"

#include <algorithm>
#include <charconv>
#include <numeric>

namespace envicutor::standalone {

std::string Nearest(const std::string& word, const std::vector<std::string>& names) {
  constexpr size_t kMaxWord = 64;
  if (word.size() > kMaxWord) return "";
  std::string nearest;
  size_t least = std::min<size_t>(3, word.size() / 2 + 1);  // further away is another word
  for (const std::string& name : names) {
    // Levenshtein's distance, a row at a time.
    std::vector<size_t> row(name.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 0; i < word.size(); ++i) {
      size_t diagonal = std::exchange(row[0], i + 1);
      for (size_t j = 0; j < name.size(); ++j) {
        const size_t replaced = diagonal + (word[i] == name[j] ? 0 : 1);
        diagonal = std::exchange(row[j + 1], std::min({row[j + 1] + 1, row[j] + 1, replaced}));
      }
    }
    if (row.back() < least) {
      least = row.back();
      nearest = name;
    }
  }
  return nearest;
}

Flags::Flags(std::string usage, std::string about)
    : usage_(std::move(usage)), about_(std::move(about)) {}

void Flags::String(const std::string& name, std::string* value, const std::string& placeholder,
                   const std::string& help, char short_name) {
  Flag flag;
  flag.placeholder = placeholder;
  flag.help = help;
  flag.short_name = short_name;
  flag.text = value;
  flags_[name] = flag;
}

void Flags::Int(const std::string& name, int64_t* value, const std::string& help) {
  Flag flag;
  flag.placeholder = "N";
  flag.help = help;
  flag.number = value;
  flags_[name] = flag;
}

void Flags::Bool(const std::string& name, bool* value, const std::string& help) {
  Flag flag;
  flag.help = help;
  flag.on = value;
  flags_[name] = flag;
}

void Flags::List(const std::string& name, std::vector<std::string>* values,
                 const std::string& placeholder, const std::string& help) {
  Flag flag;
  flag.placeholder = placeholder;
  flag.help = help;
  flag.list = values;
  flags_[name] = flag;
}

std::map<std::string, Flags::Flag>::const_iterator Flags::Find(const std::string& argument) const {
  if (argument.rfind("--", 0) == 0) return flags_.find(argument.substr(2));
  for (auto it = flags_.begin(); it != flags_.end(); ++it) {
    if (argument.size() == 2 && it->second.short_name == argument[1]) return it;
  }
  return flags_.end();
}

Status Flags::Set(const std::string& name, const Flag& flag, const std::string& value) {
  given_[name] = true;
  if (flag.text != nullptr) *flag.text = value;
  if (flag.list != nullptr) flag.list->push_back(value);
  if (flag.number != nullptr) {
    const auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), *flag.number);
    if (error != std::errc() || end != value.data() + value.size()) {
      return InvalidArgument("--" + name + ": \"" + value + "\" is not a number");
    }
  }
  if (flag.on != nullptr) {
    if (value != "true" && value != "false") {
      return InvalidArgument("--" + name + ": \"" + value + "\" is neither true nor false");
    }
    *flag.on = value == "true";
  }
  return OkStatus();
}

Status Flags::Parse(const std::vector<std::string>& argv) {
  for (size_t i = 0; i < argv.size(); ++i) {
    const std::string& argument = argv[i];
    if (argument == "--") {
      rest_.assign(argv.begin() + static_cast<std::ptrdiff_t>(i) + 1, argv.end());
      return OkStatus();
    }
    if (argument.size() < 2 || argument[0] != '-') {
      positional_.push_back(argument);
      continue;
    }
    if (argument == "--help" || argument == "-h") {
      help_ = true;
      continue;
    }
    const size_t equals = argument.find('=');
    const auto it = Find(argument.substr(0, equals));
    if (it == flags_.end()) {
      std::vector<std::string> names;
      for (const auto& [name, flag] : flags_) names.push_back("--" + name);
      const std::string given = argument.substr(0, equals);
      const std::string meant = Nearest(given, names);
      return InvalidArgument("unknown flag: " + given +
                             (meant.empty() ? "" : "; did you mean " + meant + "?"));
    }
    if (equals != std::string::npos) {
      ENVICUTOR_RETURN_IF_ERROR(Set(it->first, it->second, argument.substr(equals + 1)));
    } else if (it->second.on != nullptr) {
      ENVICUTOR_RETURN_IF_ERROR(Set(it->first, it->second, "true"));
    } else if (i + 1 < argv.size()) {
      ENVICUTOR_RETURN_IF_ERROR(Set(it->first, it->second, argv[++i]));
    } else {
      return InvalidArgument("flag needs a value: " + argument);
    }
  }
  return OkStatus();
}

std::string Flags::Help() const {
  std::string text = about_ + "\n\nUsage:\n  envicutor " + usage_ + "\n";
  if (!examples_.empty()) text += "\nExamples:\n";
  for (const std::string& example : examples_) text += "  " + example + "\n";
  if (flags_.empty()) return text;
  text += "\nFlags:\n";
  for (const auto& [name, flag] : flags_) {
    std::string left = "  ";
    if (flag.short_name != 0) left += std::string("-") + flag.short_name + ", ";
    left += "--" + name + (flag.placeholder.empty() ? "" : " " + flag.placeholder);
    left.resize(std::max<size_t>(left.size() + 2, 30), ' ');
    text += left + flag.help;
    if (flag.text != nullptr && !flag.text->empty()) text += " (default " + *flag.text + ")";
    if (flag.number != nullptr && *flag.number != 0) {
      text += " (default " + std::to_string(*flag.number) + ")";
    }
    text += "\n";
  }
  return text;
}

}  // namespace envicutor::standalone

// One mapping of the configuration file while it is read; for options.cpp. Every mistake goes to a
// list, with the field's path, the value and the bound.
#pragma once

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/api/limits.h"
#include "common/base/status.h"

namespace envicutor::op {

inline bool IsPlainList(const YAML::Node& node) { return node.IsDefined() && node.IsSequence(); }
inline bool IsPlainMap(const YAML::Node& node) { return node.IsDefined() && node.IsMap(); }

// Reads one mapping and remembers which keys it was asked for, so that the others can be refused.
class Section {
 public:
  Section(const YAML::Node& node, std::string path, std::vector<std::string>* errors)
      : node_(node), path_(std::move(path)), errors_(errors) {
    if (node_.IsDefined() && !node_.IsNull() && !node_.IsMap()) Fail("", "must be a mapping");
  }
  Section(const Section&) = delete;
  Section& operator=(const Section&) = delete;

  ~Section() {
    if (!IsPlainMap(node_)) return;
    std::set<std::string> seen;
    for (const auto& entry : node_) {
      const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "?";
      if (known_.count(key) == 0) Fail(key, "is not a known field");
      if (!seen.insert(key).second) Fail(key, "is there twice");
    }
  }

  [[nodiscard]] YAML::Node Child(const std::string& key) {
    known_.insert(key);
    if (!IsPlainMap(node_)) return YAML::Node(YAML::NodeType::Undefined);
    const YAML::Node& constant = node_;
    return constant[key];
  }
  [[nodiscard]] std::string PathOf(const std::string& key) const {
    if (key.empty()) return path_;
    return path_.empty() ? key : path_ + "." + key;
  }
  [[nodiscard]] std::vector<std::string>* errors() { return errors_; }

  void Fail(const std::string& key, const std::string& what) {
    errors_->push_back(PathOf(key) + ": " + what);
  }

  // The scalar's text, or nullptr semantics through `found`.
  bool Scalar(const std::string& key, std::string* out) {
    const YAML::Node child = Child(key);
    if (!child.IsDefined() || child.IsNull()) return false;
    if (!child.IsScalar()) {
      Fail(key, "must be a single value");
      return false;
    }
    *out = child.Scalar();
    return true;
  }

  void String(const std::string& key, std::string* out, bool required = false) {
    std::string text;
    if (Scalar(key, &text)) *out = text;
    if (required && out->empty()) Fail(key, "is required");
  }

  // A list of single values; at most `most`.
  void Strings(const std::string& key, size_t most, std::vector<std::string>* out) {
    const YAML::Node list = List(key, most);
    for (size_t i = 0; IsPlainList(list) && i < list.size(); ++i) {
      const YAML::Node item = list[i];
      if (item.IsScalar()) {
        out->push_back(item.Scalar());
      } else {
        Fail(key + "[" + std::to_string(i) + "]", "must be a single value");
      }
    }
  }

  // The list, or an undefined node when there is none or it is too long.
  [[nodiscard]] YAML::Node List(const std::string& key, size_t most) {
    const YAML::Node child = Child(key);
    const YAML::Node none(YAML::NodeType::Undefined);
    if (!child.IsDefined() || child.IsNull()) return none;
    if (!child.IsSequence()) {
      Fail(key, "must be a list");
      return none;
    }
    if (child.size() > most) {
      Fail(key, "has " + std::to_string(child.size()) + " items, more than the maximum " +
                    std::to_string(most));
      return none;
    }
    return child;
  }

  void Bool(const std::string& key, bool* out) {
    std::string text;
    if (!Scalar(key, &text)) return;
    if (text == "true" || text == "false") {
      *out = text == "true";
    } else {
      Fail(key, "\"" + text + "\" is neither true nor false");
    }
  }

  void Int(const std::string& key, int64_t low, int64_t high, int64_t* out) {
    std::string text;
    if (!Scalar(key, &text)) return;
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
      Fail(key, "\"" + text + "\" is not a whole number");
      return;
    }
    Bounded(
        key, text, value, low, high, [](int64_t v) { return std::to_string(v); }, out);
  }

  // 0.01 to 1000.
  void Weight(const std::string& key, double* out) {
    std::string text;
    if (!Scalar(key, &text)) return;
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() ||
        !(value >= 0.01 && value <= 1000)) {
      Fail(key, "\"" + text + "\" is not a number from 0.01 to 1000");
      return;
    }
    *out = value;
  }

  // The keys of a mapping from namespaces; at most `most`, each a name that a namespace can have.
  [[nodiscard]] std::vector<std::string> Namespaces(size_t most) {
    std::vector<std::string> names;
    if (!IsPlainMap(node_)) return names;
    if (node_.size() > most) {
      Fail("", "has " + std::to_string(node_.size()) + " namespaces, more than the maximum " +
                   std::to_string(most));
      for (const auto& entry : node_) {
        if (entry.first.IsScalar()) known_.insert(entry.first.Scalar());
      }
      return names;
    }
    for (const auto& entry : node_) {
      const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : "";
      known_.insert(entry.first.IsScalar() ? name : "?");
      const bool plain = !name.empty() && name.size() <= 63 && name.front() != '-' &&
                         name.back() != '-' && std::all_of(name.begin(), name.end(), [](char c) {
                           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
                         });
      if (plain) {
        names.push_back(name);
      } else {
        Fail(name, "is not the name of a namespace");
      }
    }
    return names;
  }

  void Millis(const std::string& key, int64_t low, int64_t high, int64_t* out) {
    std::string text;
    if (!Scalar(key, &text)) return;
    const Result<int64_t> value = api::ParseDurationMillis(text);
    if (!value.ok()) {
      Fail(key, value.status().message());
      return;
    }
    Bounded(key, text, *value, low, high, api::FormatDurationMillis, out);
  }

  void Bytes(const std::string& key, int64_t low, int64_t high, int64_t* out) {
    std::string text;
    if (!Scalar(key, &text)) return;
    const Result<int64_t> value = api::ParseQuantity(text);
    if (!value.ok()) {
      Fail(key, value.status().message());
      return;
    }
    Bounded(key, text, *value, low, high, api::FormatQuantity, out);
  }

  template <typename T>
  void Choice(const std::string& key, const std::vector<std::pair<std::string, T>>& choices,
              T* out) {
    std::string text;
    if (!Scalar(key, &text)) return;
    std::string names;
    for (const auto& [name, value] : choices) {
      if (name == text) {
        *out = value;
        return;
      }
      names += (names.empty() ? "" : ", ") + name;
    }
    Fail(key, "\"" + text + "\" is not one of: " + names);
  }

 private:
  void Bounded(const std::string& key, const std::string& text, int64_t value, int64_t low,
               int64_t high, const std::function<std::string(int64_t)>& format, int64_t* out) {
    if (value < low) {
      Fail(key, text + " is less than the minimum " + format(low));
    } else if (value > high) {
      Fail(key, text + " is more than the maximum " + format(high));
    } else {
      *out = value;
    }
  }

  YAML::Node node_;
  std::string path_;
  std::vector<std::string>* errors_;
  std::set<std::string> known_;
};

}  // namespace envicutor::op

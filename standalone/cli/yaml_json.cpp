#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cmath>
#include <string>

#include "standalone/cli/crds.h"

namespace envicutor::standalone {
namespace {

constexpr int kMaxDepth = 100;

Json ScalarToJson(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return text;  // quoted
  if (text.empty() || text == "null" || text == "~" || text == "Null" || text == "NULL") return {};
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const char* end = text.data() + text.size();
  int64_t number = 0;
  if (const auto [at, error] = std::from_chars(text.data(), end, number);
      error == std::errc() && at == end) {
    return number;
  }
  double real = 0;
  if (text.find_first_not_of("0123456789+-.eE") == std::string::npos) {
    const auto [at, error] = std::from_chars(text.data(), end, real);
    if (error == std::errc() && at == end && std::isfinite(real)) return real;
  }
  return text;
}

Result<Json> NodeToJson(const YAML::Node& node, int depth) {
  if (depth > kMaxDepth) {
    return InvalidArgument("YAML is nested more than " + std::to_string(kMaxDepth) +
                           " levels deep");
  }
  if (node.IsMap()) {
    Json object = Json::object();
    for (const auto& entry : node) {
      ENVICUTOR_ASSIGN(object[entry.first.as<std::string>()], NodeToJson(entry.second, depth + 1));
    }
    return object;
  }
  if (node.IsSequence()) {
    Json list = Json::array();
    for (const YAML::Node& item : node) {
      ENVICUTOR_ASSIGN(Json value, NodeToJson(item, depth + 1));
      list.push_back(std::move(value));
    }
    return list;
  }
  return node.IsScalar() ? ScalarToJson(node) : Json();
}

}  // namespace

Result<std::vector<Json>> ParseYamlDocuments(std::string_view text) {
  std::vector<Json> documents;
  try {
    for (const YAML::Node& node : YAML::LoadAll(std::string(text))) {
      ENVICUTOR_ASSIGN(Json json, NodeToJson(node, 0));
      if (!json.is_null()) documents.push_back(std::move(json));
    }
  } catch (const YAML::Exception& error) {
    return InvalidArgument(std::string("invalid YAML: ") + error.what());
  }
  return documents;
}

}  // namespace envicutor::standalone

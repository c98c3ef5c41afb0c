#include "support.h"

#include <dirent.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <filesystem>

#include "common/base/file.h"

namespace envicutor::standalone::schema {
namespace {

// This file's own path ends in tests/unit/schema/support.cpp. With ccache it is relative to the
// build folder, which has this program in bin/.
std::string SourceRoot() {
  const std::string file = __FILE__;
  const size_t at = file.rfind("tests/unit/schema/");
  if (at == std::string::npos) return "";
  const std::string root = file.substr(0, at);
  if (root.starts_with("/")) return root;
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / root)
      .string();
}

Json Convert(const YAML::Node& node) {
  if (node.IsSequence()) {
    Json list = Json::array();
    for (const auto& each : node) list.push_back(Convert(each));
    return list;
  }
  if (node.IsMap()) {
    Json map = Json::object();
    for (const auto& each : node) map[each.first.as<std::string>()] = Convert(each.second);
    return map;
  }
  if (node.IsNull()) return nullptr;
  const std::string text = node.Scalar();
  if (node.Tag() == "!") return text;  // quoted
  if (text == "true" || text == "false") return text == "true";
  if (text == "null" || text == "~") return nullptr;
  if (int64_t integer = 0; YAML::convert<int64_t>::decode(node, integer)) return integer;
  if (double number = 0; YAML::convert<double>::decode(node, number)) return number;
  return text;
}

}  // namespace

Json FromYaml(const std::string& text) { return Convert(YAML::Load(text)); }

std::string ReadSource(const std::string& relative_path) {
  const Result<std::string> text = ReadFile(SourceRoot() + relative_path);
  EXPECT_TRUE(text.ok()) << text.status().ToString();
  return text.ok() ? *text : "";
}

Json LoadCrd(const std::string& name) { return FromYaml(ReadSource("crds/" + name + ".yaml")); }

std::vector<Json> LoadYamlDocuments(const std::string& relative_path) {
  std::vector<Json> documents;
  for (const YAML::Node& node : YAML::LoadAll(ReadSource(relative_path))) {
    documents.push_back(Convert(node));
  }
  return documents;
}

std::vector<std::string> ListSource(const std::string& relative_folder) {
  std::vector<std::string> names;
  DIR* folder = opendir((SourceRoot() + relative_folder).c_str());
  EXPECT_NE(folder, nullptr) << relative_folder;
  if (folder == nullptr) return names;
  while (const dirent* entry = readdir(folder)) {
    const std::string name = static_cast<const char*>(entry->d_name);
    if (name.ends_with(".yaml")) names.push_back(relative_folder + "/" + name);
  }
  closedir(folder);
  std::sort(names.begin(), names.end());
  return names;
}

std::shared_ptr<const Schema> SchemaOf(const std::string& yaml) {
  std::vector<FieldError> errors;
  auto schema = Schema::Compile(FromYaml("{type: object, " + yaml + "}"), "schema", &errors);
  for (const FieldError& error : errors) ADD_FAILURE() << FormatFieldError(error);
  return schema;
}

std::vector<std::string> CompileErrors(const std::string& yaml) {
  std::vector<FieldError> errors;
  const auto schema = Schema::Compile(FromYaml("{type: object, " + yaml + "}"), "schema", &errors);
  EXPECT_EQ(schema, nullptr);
  std::vector<std::string> out;
  for (const FieldError& error : errors) out.push_back(FormatFieldError(error));
  return out;
}

std::vector<std::string> Check(const Schema& schema, Json object, const Json* old) {
  schema.Prune(&object);
  schema.Default(&object);
  std::vector<std::string> out;
  for (const FieldError& error : schema.Validate(object, old)) {
    out.push_back(FormatFieldError(error));
  }
  return out;
}

std::shared_ptr<const CompiledCrd> Compiled(const Json& crd) {
  std::vector<FieldError> errors;
  auto compiled = CompileCrd(crd, &errors);
  for (const FieldError& error : errors) ADD_FAILURE() << FormatFieldError(error);
  return compiled;
}

}  // namespace envicutor::standalone::schema

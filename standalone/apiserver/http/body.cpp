#include "standalone/apiserver/http/body.h"

#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>
#include <string>

#include "common/base/encoding.h"
#include "standalone/apiserver/http/json_reader.h"
#include "standalone/apiserver/http/protobuf.h"

namespace envicutor::standalone {
namespace {

constexpr int kMaxDepth = 128;
constexpr size_t kMaxDuplicates = 100;
// Aliases multiply: a YAML of a few hundred bytes can name billions of nodes.
constexpr size_t kMaxYamlNodes = 200'000;
// Flow collections nest on yaml-cpp's stack before a depth can be seen in its tree.
constexpr size_t kMaxYamlFlowDepth = 256;
constexpr size_t kMaxYamlIndent = 2048;

ApiError TooDeep(const std::string& format, size_t bound) {
  return BadRequestError("the " + format + " is nested more than " + std::to_string(bound) +
                         " levels deep");
}

// YAML 1.2 core scalars, as sigs.k8s.io/yaml reads them (yes and no are strings there too).
Json Scalar(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str") return text;
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") {
    return nullptr;
  }
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const char* begin = text.data();
  const char* end = begin + text.size();
  if (*begin == '+') ++begin;
  int64_t integer = 0;
  if (const auto [at, error] = std::from_chars(begin, end, integer);
      error == std::errc() && at == end) {
    // 0123 is octal to some and decimal to others; Kubernetes' reads it as octal.
    if (text.size() > 1 && text[0] == '0') {
      if (const auto [octal_at, octal_error] = std::from_chars(begin, end, integer, 8);
          octal_error == std::errc() && octal_at == end) {
        return integer;
      }
      return text;
    }
    return integer;
  }
  double number = 0;
  if (const auto [at, error] = std::from_chars(begin, end, number);
      error == std::errc() && at == end && std::isfinite(number)) {
    return number;
  }
  return text;
}

// A path is made for every field: one below a long key costs no more than others.
constexpr size_t kMaxFieldBytes = 1024;

std::string FieldIn(const std::string& path, std::string_view key) {
  std::string field = path;
  if (!path.empty() && path.size() < kMaxFieldBytes) field += '.';
  field += key.substr(0, kMaxFieldBytes - field.size());
  return field;
}

class YamlReader {
 public:
  ApiResult<Json> Read(const YAML::Node& node, int depth, const std::string& path) {
    if (depth > kMaxDepth) return TooDeep("YAML", kMaxDepth);
    if (++nodes_ > kMaxYamlNodes) {
      return BadRequestError("the YAML has more than " + std::to_string(kMaxYamlNodes) + " nodes");
    }
    switch (node.Type()) {
      case YAML::NodeType::Scalar:
        return Scalar(node);
      case YAML::NodeType::Sequence: {
        Json list = Json::array();
        for (const YAML::Node& item : node) {
          API_ASSIGN(Json value, Read(item, depth + 1, path));
          list.push_back(std::move(value));
        }
        return list;
      }
      case YAML::NodeType::Map: {
        Json object = Json::object();
        for (const auto& entry : node) {
          if (!entry.first.IsScalar()) return BadRequestError("a YAML key is not a string");
          const std::string key = entry.first.Scalar();
          const std::string field = FieldIn(path, key);
          API_ASSIGN(Json value, Read(entry.second, depth + 1, field));
          if (object.contains(key) && duplicates_.size() < kMaxDuplicates) {
            duplicates_.push_back(field);
          }
          object[key] = std::move(value);
        }
        return object;
      }
      default:
        return Json(nullptr);
    }
  }
  [[nodiscard]] std::vector<std::string> Take() { return std::move(duplicates_); }

 private:
  size_t nodes_ = 0;
  std::vector<std::string> duplicates_;
};

bool FlowTooDeep(std::string_view text) {
  size_t depth = 0;
  for (const char c : text) {
    if (c == '[' || c == '{') {
      if (++depth > kMaxYamlFlowDepth) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

// Block nesting needs a column each, or "- - - -" on one line.
bool BlockTooDeep(std::string_view text) {
  size_t column = 0;
  bool leading = true;
  for (const char c : text) {
    if (c == '\n') {
      column = 0;
      leading = true;
      continue;
    }
    leading = leading && (c == ' ' || c == '-' || c == '?');
    if (leading && ++column > kMaxYamlIndent) return true;
  }
  return false;
}

class IgnoreEvents final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// Not YAML::LoadAll: a document that begins with "," is an endless number of empty ones to yaml-cpp
// 0.7, which eats all memory.
bool HasMoreDocuments(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  IgnoreEvents ignore;
  return parser.HandleNextDocument(ignore) && parser.HandleNextDocument(ignore);
}

ApiResult<Body> DecodeYaml(std::string_view bytes) {
  if (!IsUtf8(bytes)) return BadRequestError("error decoding YAML: the body is not UTF-8");
  if (FlowTooDeep(bytes)) return TooDeep("YAML", kMaxYamlFlowDepth);
  if (BlockTooDeep(bytes)) {
    return BadRequestError("the YAML is indented by more than " + std::to_string(kMaxYamlIndent) +
                           " columns");
  }
  try {
    const std::string text(bytes);
    if (HasMoreDocuments(text)) return BadRequestError("the body must be one YAML document");
    YamlReader reader;
    Body body;
    API_ASSIGN(body.json, reader.Read(YAML::Load(text), 0, ""));
    MakeIntegers(&body.json);
    body.duplicate_fields = reader.Take();
    return body;
  } catch (const YAML::Exception& error) {
    return BadRequestError(std::string("error decoding YAML: ") + error.what());
  }
}

}  // namespace

std::string MediaType(std::string_view content_type) {
  std::string type(content_type.substr(0, content_type.find(';')));
  while (!type.empty() && type.back() == ' ') type.pop_back();
  std::transform(type.begin(), type.end(), type.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return type;
}

ApiResult<Body> DecodeJson(std::string_view bytes) {
  ReadJson read = ReadClientJson(bytes, kMaxDepth);
  if (read.too_deep) return TooDeep("JSON", kMaxDepth);
  if (!read.error.empty()) return BadRequestError("error decoding JSON: " + read.error);
  return Body{std::move(read.value), std::move(read.duplicates)};
}

ApiResult<Body> DecodeBody(std::string_view content_type, std::string_view bytes) {
  const std::string type = MediaType(content_type);
  if (type.empty() || type == "application/json" || type == "*/*" ||
      type == "application/x-www-form-urlencoded") {
    return DecodeJson(bytes);
  }
  if (type == "application/yaml" || type == "application/x-yaml" || type == "text/yaml" ||
      type == "text/x-yaml") {
    return DecodeYaml(bytes);
  }
  if (type == kProtobufType) {
    Body body;
    API_ASSIGN(body.json, DecodeProtobuf(bytes));
    return body;
  }
  return UnsupportedMediaTypeError(
      "the body of the request was in an unknown format - accepted media types include: "
      "application/json, application/yaml");
}

}  // namespace envicutor::standalone

#include "standalone/apiserver/schema/openapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "support.h"

namespace envicutor::standalone::schema {
namespace {

using ::testing::Contains;

// A message of protobuf's wire format, read back without a schema.
class Wire {
 public:
  explicit Wire(std::string_view bytes) {
    size_t pos = 0;
    const auto varint = [&] {
      uint64_t value = 0;
      for (unsigned shift = 0; pos < bytes.size() && shift < 64; shift += 7) {
        const auto byte = static_cast<unsigned char>(bytes[pos++]);
        value |= static_cast<uint64_t>(byte & 0x7FU) << shift;
        if (byte < 0x80) break;
      }
      return value;
    };
    while (pos < bytes.size()) {
      const uint64_t key = varint();
      const auto field = static_cast<int>(key >> 3U);
      if ((key & 7U) == 0) {
        numbers_.emplace_back(field, varint());
      } else if ((key & 7U) == 1) {
        doubles_.emplace_back(field, 0.0);
        if (pos + 8 > bytes.size()) {
          Fail();
          return;
        }
        std::memcpy(&doubles_.back().second, bytes.data() + pos, 8);
        pos += 8;
      } else {
        const uint64_t size = varint();
        if ((key & 7U) != 2 || pos + size > bytes.size()) {
          Fail();
          return;
        }
        texts_.emplace_back(field, std::string(bytes.substr(pos, size)));
        pos += size;
      }
    }
  }
  [[nodiscard]] std::string Text(int field) const {
    for (const auto& [number, text] : texts_) {
      if (number == field) return text;
    }
    return "";
  }
  [[nodiscard]] std::vector<std::string> Texts(int field) const {
    std::vector<std::string> out;
    for (const auto& [number, text] : texts_) {
      if (number == field) out.push_back(text);
    }
    return out;
  }
  [[nodiscard]] uint64_t Number(int field) const {
    for (const auto& [number, value] : numbers_) {
      if (number == field) return value;
    }
    return 0;
  }
  [[nodiscard]] double Double(int field) const {
    for (const auto& [number, value] : doubles_) {
      if (number == field) return value;
    }
    return 0;
  }
  // Of repeated {name = 1, value = 2} messages in `field`, the value of that name.
  [[nodiscard]] std::string Named(int field, const std::string& name) const {
    for (const std::string& entry : Texts(field)) {
      const Wire wire(entry);
      if (wire.Text(1) == name) return wire.Text(2);
    }
    return "";
  }

 private:
  static void Fail() { ADD_FAILURE() << "not a protobuf message"; }

  std::vector<std::pair<int, uint64_t>> numbers_;
  std::vector<std::pair<int, double>> doubles_;
  std::vector<std::pair<int, std::string>> texts_;
};

std::vector<OpenApiResource> Resources() {
  std::vector<OpenApiResource> all = BuiltinOpenApiResources();
  for (const char* name : {"submissions", "runtimes", "executorpools"}) {
    const auto crd = Compiled(LoadCrd(name));
    all.push_back(OpenApiResourceOf(*crd, crd->versions.front()));
  }
  return all;
}

// Every $ref of a document leads somewhere in it.
void CheckReferences(const Json& node, const Json& document) {
  if (node.is_object() && node.contains("$ref")) {
    const std::string ref = node["$ref"].get<std::string>();
    EXPECT_TRUE(document.contains(Json::json_pointer(ref.substr(1)))) << ref;
  }
  if (node.is_structured()) {
    for (const Json& child : node) CheckReferences(child, document);
  }
}

TEST(OpenApiV3, DocumentOfACrd) {
  const Json document = OpenApiV3Document("envicutor.io", "v1alpha1", Resources());
  CheckReferences(document, document);
  const Json& schemas = document["components"]["schemas"];
  const Json& submission = schemas["io.envicutor.v1alpha1.Submission"];
  EXPECT_EQ(submission["x-kubernetes-group-version-kind"],
            FromYaml("[{group: envicutor.io, version: v1alpha1, kind: Submission}]"));
  EXPECT_THAT(
      submission["properties"]["spec"]["properties"]["run"]["properties"]["args"]["description"],
      testing::HasSubstr("Arguments"));
  EXPECT_FALSE(schemas.contains("io.k8s.api.core.v1.Pod"));
  const std::string collection = "/apis/envicutor.io/v1alpha1/namespaces/{namespace}/submissions";
  const Json& item = document["paths"][collection + "/{name}"];
  // kubectl chooses server-side field validation by this parameter.
  std::vector<std::string> names;
  for (const Json& parameter : item["patch"]["parameters"]) names.push_back(parameter["name"]);
  EXPECT_THAT(names, Contains("fieldValidation"));
  EXPECT_EQ(item["patch"]["x-kubernetes-group-version-kind"]["kind"], "Submission");
  EXPECT_EQ(item["parameters"].size(), 2U);
  EXPECT_TRUE(document["paths"].contains(collection + "/{name}/status"));
  EXPECT_TRUE(document["paths"].contains("/apis/envicutor.io/v1alpha1/submissions"));
  EXPECT_TRUE(document["paths"].contains("/apis/envicutor.io/v1alpha1/runtimes/{name}"));
  EXPECT_TRUE(document["paths"].contains("/apis/envicutor.io/v1alpha1/executorpools/{name}/scale"));
}

TEST(OpenApiV3, DocumentOfTheCoreGroup) {
  const Json document = OpenApiV3Document("", "v1", Resources());
  CheckReferences(document, document);
  EXPECT_TRUE(document["paths"].contains("/api/v1/namespaces/{namespace}/pods/{name}"));
  EXPECT_TRUE(document["components"]["schemas"].contains("io.k8s.api.core.v1.ConfigMap"));
}

TEST(OpenApiV3, IndexChangesWithTheDocuments) {
  const Json a = OpenApiV3Index({{"apis/envicutor.io/v1alpha1", "one"}});
  const Json b = OpenApiV3Index({{"apis/envicutor.io/v1alpha1", "two"}});
  const std::string url = a["paths"]["apis/envicutor.io/v1alpha1"]["serverRelativeURL"];
  EXPECT_THAT(url, testing::StartsWith("/openapi/v3/apis/envicutor.io/v1alpha1?hash="));
  EXPECT_NE(a, b);
}

TEST(OpenApiV2, DocumentIsReduced) {
  const Json document = OpenApiV2Document(Resources());
  CheckReferences(document, document);
  EXPECT_EQ(document["swagger"], "2.0");
  const Json& submission = document["definitions"]["io.envicutor.v1alpha1.Submission"];
  const Json& run = submission["properties"]["spec"]["properties"]["run"];
  EXPECT_EQ(run["properties"]["mergeStderr"]["type"], "boolean");
  const Json& cpu = run["properties"]["limits"]["properties"]["cpuTime"];
  EXPECT_FALSE(cpu.contains("type"));
  EXPECT_FALSE(cpu.contains("anyOf"));
  EXPECT_TRUE(GetBool(cpu, "x-kubernetes-int-or-string"));
}

TEST(OpenApiV2, ProtobufHoldsTheSame) {
  const Json json = OpenApiV2Document(Resources());
  const Wire document(OpenApiV2Protobuf(json));
  EXPECT_EQ(document.Text(1), "2.0");
  EXPECT_EQ(Wire(document.Text(2)).Text(1), "Kubernetes");
  const Wire definitions(document.Text(9));
  EXPECT_EQ(definitions.Texts(1).size(), json["definitions"].size());
  const Wire submission(definitions.Named(1, "io.envicutor.v1alpha1.Submission"));
  EXPECT_EQ(submission.Text(4),
            GetString(json["definitions"]["io.envicutor.v1alpha1.Submission"], "description"));
  EXPECT_EQ(Wire(submission.Text(22)).Text(1), "object");
  EXPECT_THAT(submission.Texts(19), testing::ElementsAre("spec"));
  const std::string gvk = Wire(submission.Named(31, "x-kubernetes-group-version-kind")).Text(2);
  EXPECT_EQ(ParseJson(gvk).value(),
            FromYaml("[{group: envicutor.io, version: v1alpha1, kind: Submission}]"));
  const Wire spec(Wire(submission.Text(25)).Named(1, "spec"));
  const Wire files(Wire(spec.Text(25)).Named(1, "files"));
  EXPECT_EQ(files.Number(14), 256U);
  const Wire file(Wire(files.Text(23)).Text(1));
  EXPECT_EQ(Wire(Wire(file.Text(25)).Named(1, "path")).Number(11), 1024U);
  const Wire priority(Wire(spec.Text(25)).Named(1, "priority"));
  EXPECT_EQ(priority.Double(9), -1000000.0);
  const Wire metadata(Wire(submission.Text(25)).Named(1, "metadata"));
  EXPECT_EQ(metadata.Text(1), "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");

  const Wire paths(document.Text(8));
  EXPECT_EQ(paths.Texts(2).size(), json["paths"].size());
  const Wire item(
      paths.Named(2, "/apis/envicutor.io/v1alpha1/namespaces/{namespace}/submissions/{name}"));
  const Wire patch(item.Text(8));
  EXPECT_THAT(patch.Texts(7), Contains("application/merge-patch+json"));
  std::vector<std::string> query;
  for (const std::string& each : patch.Texts(8)) {
    const Wire non_body(Wire(Wire(each).Text(1)).Text(2));
    query.push_back(Wire(non_body.Text(3)).Text(4));
  }
  EXPECT_THAT(query, Contains("dryRun"));
  EXPECT_EQ(item.Texts(9).size(), 2U);
}

}  // namespace
}  // namespace envicutor::standalone::schema

// Helpers of the schema tests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "standalone/apiserver/schema/crd.h"
#include "standalone/apiserver/schema/schema.h"

namespace envicutor::standalone::schema {

// YAML (block or flow) to JSON; fails the test when it is not YAML.
[[nodiscard]] Json FromYaml(const std::string& text);
// crds/NAME.yaml of this source tree.
[[nodiscard]] Json LoadCrd(const std::string& name);
[[nodiscard]] std::string ReadSource(const std::string& relative_path);
[[nodiscard]] std::vector<Json> LoadYamlDocuments(const std::string& relative_path);
[[nodiscard]] std::vector<std::string> ListSource(const std::string& relative_folder);

// The schema of `properties` (YAML) of an object; fails the test when it does not compile.
[[nodiscard]] std::shared_ptr<const Schema> SchemaOf(const std::string& yaml);
// The errors of a schema that must not compile, one a line.
[[nodiscard]] std::vector<std::string> CompileErrors(const std::string& yaml);
// Prune, default, validate; the errors formatted.
[[nodiscard]] std::vector<std::string> Check(const Schema& schema, Json object,
                                             const Json* old = nullptr);
[[nodiscard]] std::shared_ptr<const CompiledCrd> Compiled(const Json& crd);

}  // namespace envicutor::standalone::schema

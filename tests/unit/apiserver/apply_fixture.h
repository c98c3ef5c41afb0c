// Server-side apply by different managers, of widgets and built-in kinds.
#pragma once

#include <string>
#include <utility>

#include "tests/unit/apiserver/fixture.h"

namespace envicutor::standalone {

class ApplyTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    MustCreate("customresourcedefinitions", WidgetCrd());
  }
  ApiResult<Answer> Apply(const std::string& resource, Json config, const std::string& manager,
                          bool force = false, const std::string& subresource = "",
                          WriteOptions options = {}) {
    const ResourcePtr type = Resource(resource);
    config["kind"] = type->kind;
    config["apiVersion"] = type->ApiVersion();
    options.manager = manager;
    return api_->Apply(*type, type->namespaced ? "default" : "", NameOf(config), subresource,
                       config, force, options);
  }
  Json MustApply(const std::string& resource, const Json& config, const std::string& manager,
                 bool force = false, const std::string& subresource = "") {
    ApiResult<Answer> answer = Apply(resource, config, manager, force, subresource);
    EXPECT_TRUE(answer.ok()) << answer.error().message;
    return answer.ok() ? answer->object : Json();
  }
  static WriteOptions By(const std::string& manager) {
    WriteOptions options;
    options.manager = manager;
    return options;
  }
  // fieldsV1 of a manager; null when it owns nothing.
  static Json Owned(const Json& object, const std::string& manager,
                    const std::string& operation = "Apply") {
    for (const Json& entry : At(object, {"metadata", "managedFields"})) {
      if (entry["manager"] == manager && entry["operation"] == operation) return entry["fieldsV1"];
    }
    return nullptr;
  }
};

}  // namespace envicutor::standalone

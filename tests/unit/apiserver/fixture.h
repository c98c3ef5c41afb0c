// An Api on a MemoryStorage with a fake clock and seeded ids, and the background controllers run to
// rest on demand.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/core/controllers.h"
#include "standalone/apiserver/core/memory_storage.h"
#include "standalone/apiserver/core/object.h"

namespace envicutor::standalone {

class ApiTest : public testing::Test {
 protected:
  void SetUp() override { Restart(); }

  // As after a crash: only what the storage kept is there.
  void Restart() {
    controllers_.reset();
    api_.reset();
    store_ = std::make_unique<Store>(&storage_, history_);
    api_ = std::make_unique<Api>(store_.get(), &clock_, &ids_);
    const Status status = api_->Start({"envicutor-system"});
    ASSERT_TRUE(status.ok()) << status.ToString();
    controllers_ = std::make_unique<Controllers>(api_.get());
    Settle();
  }

  void Settle() {
    for (int i = 0; i < 100; ++i) {
      if (!controllers_->Step()) return;
    }
    FAIL() << "the controllers do not come to rest";
  }

  // "pods" or "widgets.example.com"
  ResourcePtr Resource(const std::string& name) {
    for (const ResourcePtr& resource : api_->registry()->all()) {
      const std::string full =
          resource->group.empty() ? resource->plural : resource->plural + "." + resource->group;
      if (full == name || resource->plural == name) return resource;
    }
    return nullptr;
  }
  ApiResult<Answer> Create(const std::string& resource, Json object, WriteOptions options = {}) {
    const ResourcePtr type = Resource(resource);
    object["kind"] = type->kind;
    object["apiVersion"] = type->ApiVersion();
    const std::string ns = type->namespaced ? MetaString(object, "namespace") : "";
    return api_->Create(*type, type->namespaced && ns.empty() ? "default" : ns, std::move(object),
                        options);
  }
  Json MustCreate(const std::string& resource, Json object) {
    ApiResult<Answer> answer = Create(resource, std::move(object));
    EXPECT_TRUE(answer.ok()) << answer.error().message;
    return answer.ok() ? answer->object : Json();
  }
  ApiResult<Answer> Patch(const std::string& resource, const std::string& name, PatchKind kind,
                          const Json& patch, const std::string& subresource = "",
                          const WriteOptions& options = {}) {
    const ResourcePtr type = Resource(resource);
    return api_->Patch(*type, type->namespaced ? "default" : "", name, subresource, kind, patch,
                       options);
  }
  ApiResult<Answer> Update(const std::string& resource, const Json& object,
                           const std::string& subresource = "") {
    return api_->Update(*Resource(resource), NamespaceOf(object), NameOf(object), subresource,
                        object, {});
  }
  ApiResult<Answer> Delete(const std::string& resource, const std::string& name,
                           const DeleteQuery& query = {}, const std::string& ns = "default") {
    const ResourcePtr type = Resource(resource);
    return api_->Delete(*type, type->namespaced ? ns : "", name, query);
  }
  // Null when there is none.
  Json Get(const std::string& resource, const std::string& name,
           const std::string& ns = "default") {
    const ResourcePtr type = Resource(resource);
    const auto object = api_->Get(*type, type->namespaced ? ns : "", name);
    return object.ok() ? (*object)->Tree().Copy() : Json();
  }
  std::vector<std::string> Names(const std::string& resource, const ListQuery& query = {},
                                 const std::string& ns = "") {
    const auto list = api_->List(*Resource(resource), ns, query);
    EXPECT_TRUE(list.ok()) << list.error().message;
    std::vector<std::string> names;
    if (list.ok()) {
      for (const ObjectPtr& object : list->objects) names.push_back(object->Name());
    }
    return names;
  }

  static Json ConfigMap(const std::string& name, Json data = Json::object()) {
    return {{"metadata", {{"name", name}}}, {"data", std::move(data)}};
  }
  static Json Pod(const std::string& name) {
    return {{"metadata", {{"name", name}}},
            {"spec",
             {{"containers", Json::array({{{"name", "agent"}, {"image", "envicutor/agent:1"}}})}}}};
  }
  // Widgets: status and scale subresources, a default, a bound, a selectable field.
  static Json WidgetCrd() {
    const Json schema = {
        {"type", "object"},
        {"properties",
         {{"spec",
           {{"type", "object"},
            {"required", {"size"}},
            {"properties",
             {{"size", {{"type", "integer"}, {"minimum", 0}, {"maximum", 10}}},
              {"color", {{"type", "string"}, {"default", "red"}}}}}}},
          {"status",
           {{"type", "object"},
            {"properties",
             {{"phase", {{"type", "string"}}}, {"count", {{"type", "integer"}}}}}}}}}};
    return {{"metadata", {{"name", "widgets.example.com"}}},
            {"spec",
             {{"group", "example.com"},
              {"scope", "Namespaced"},
              {"names", {{"plural", "widgets"}, {"kind", "Widget"}, {"shortNames", {"wd"}}}},
              {"versions",
               Json::array({{{"name", "v1"},
                             {"served", true},
                             {"storage", true},
                             {"schema", {{"openAPIV3Schema", schema}}},
                             {"selectableFields", Json::array({{{"jsonPath", ".spec.color"}}})},
                             {"subresources",
                              {{"status", Json::object()},
                               {"scale",
                                {{"specReplicasPath", ".spec.size"},
                                 {"statusReplicasPath", ".status.count"}}}}}}})}}}};
  }
  static Json Widget(const std::string& name, int size = 1) {
    return {{"metadata", {{"name", name}}}, {"spec", {{"size", size}}}};
  }

  size_t history_ = 1000;
  FakeClock clock_;
  SeededIdSource ids_{1};
  MemoryStorage storage_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<Controllers> controllers_;
};

}  // namespace envicutor::standalone

// binding, eviction and scale.
#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/core/builtin.h"
#include "standalone/apiserver/core/metadata.h"
#include "standalone/apiserver/core/object.h"
#include "standalone/apiserver/core/patch.h"

namespace envicutor::standalone {
namespace {

Json Success() {
  return {{"kind", "Status"},
          {"apiVersion", "v1"},
          {"metadata", Json::object()},
          {"status", "Success"},
          {"code", 201}};
}

const Json& AtPath(const Json& object, const std::vector<std::string>& path) {
  const Json* at = &object;
  for (const std::string& step : path) at = &At(*at, {step});
  return *at;
}

Json ScaleOf(const ResourceInfo& resource, const Json& object) {
  const schema::ScalePaths& paths = *resource.crd_version->scale;
  Json metadata = {{"name", NameOf(object)}};
  for (const char* member : {"namespace", "uid", "resourceVersion", "creationTimestamp"}) {
    const std::string value = MetaString(object, member);
    if (!value.empty()) metadata[member] = value;
  }
  const auto replicas = [&](const std::vector<std::string>& path) -> int64_t {
    const Json& value = AtPath(object, path);
    return value.is_number_integer() ? value.get<int64_t>() : 0;
  };
  Json scale = {{"kind", "Scale"},
                {"apiVersion", "autoscaling/v1"},
                {"metadata", std::move(metadata)},
                {"spec", {{"replicas", replicas(paths.spec_replicas)}}},
                {"status", {{"replicas", replicas(paths.status_replicas)}}}};
  if (!paths.label_selector.empty()) {
    const Json& selector = AtPath(object, paths.label_selector);
    if (selector.is_string()) scale["status"]["selector"] = selector;
  }
  return scale;
}

// Puts the scale's replicas into the object.
ApiResult<Json> WithScale(const ResourceInfo& resource, const Json& current, const Json& scale) {
  const Json& replicas = At(scale, {"spec", "replicas"});
  if (!replicas.is_null() && !replicas.is_number_integer()) {
    return BadRequestError("spec.replicas must be an integer");
  }
  const int64_t wanted = replicas.is_null() ? 0 : replicas.get<int64_t>();
  if (wanted < 0 || wanted > INT32_MAX) {
    return InvalidError({"autoscaling", "Scale", NameOf(current)},
                        {schema::InvalidError("spec.replicas", ShowValue(replicas),
                                              "must be greater than or equal to 0")});
  }
  Json object = current;
  Json* at = &object;
  for (const std::string& step : resource.crd_version->scale->spec_replicas) at = &(*at)[step];
  *at = wanted;
  for (const char* member : {"uid", "resourceVersion"}) {
    const std::string value = MetaString(scale, member);
    if (!value.empty()) object["metadata"][member] = value;
  }
  return object;
}

}  // namespace

ApiResult<Answer> Api::BindPod(const std::string& ns, const std::string& name, const Json& binding,
                               const WriteOptions& asked) {
  const ResourcePtr pods = registry()->Find("", "v1", "pods");
  const std::string node = GetString(At(binding, {"target"}), "name");
  if (node.empty()) {
    return InvalidError({"", "Binding", name}, {schema::RequiredError("target.name", "")});
  }
  WriteOptions options = asked;
  options.deferred = false;
  const WallTime now = clock_->WallNow();
  // Not through Modify: spec.nodeName is what an update of a pod may not change.
  const auto judge = [&](const ObjectPtr& stored) -> std::optional<ApiError> {
    if (stored == nullptr) return NotFoundError(pods->Target(name));
    if (stored->IsTerminating()) {
      return ConflictError({"", "pods/binding", name},
                           "pod " + name + " is being deleted, cannot be assigned to a host");
    }
    const JsonRef tree = stored->Tree();
    const std::string bound = GetString(At(*tree, {"spec"}), "nodeName");
    if (bound.empty()) return std::nullopt;
    return ConflictError({"", "pods/binding", name},
                         "pod " + name + " is already assigned to node \"" + bound + "\"");
  };
  for (int tries = 0; tries < kMaxTries; ++tries) {
    API_ASSIGN(const ObjectPtr stored,
               Agreed(std::string(kPods), KeyOf(ns, name), options.deferred, judge));
    Json pod = stored->Tree().Copy();
    pod["spec"]["nodeName"] = node;
    SetCondition(&pod["status"]["conditions"], "PodScheduled", true, "", "", now);
    StoreWrite write;
    write.resource = std::string(kPods);
    write.key = KeyOf(ns, name);
    write.expected = stored;
    write.object = DraftObject(std::move(pod));
    API_ASSIGN(Answer answer, Commit(*pods, &write, options, {}));
    if (answer.code == 0) continue;
    return Answer{201, Success(), {}};
  }
  return ModifiedError(pods->Target(name));
}

ApiResult<Answer> Api::EvictPod(const std::string& ns, const std::string& name,
                                const Json& eviction, const WriteOptions& options) {
  const ResourcePtr pods = registry()->Find("", "v1", "pods");
  DeleteQuery query;
  const Json& wanted = At(eviction, {"deleteOptions"});
  query.grace_period_seconds = GetInt(wanted, "gracePeriodSeconds", -1);
  query.uid = GetString(At(wanted, {"preconditions"}), "uid");
  query.dry_run = options.dry_run;
  API_ASSIGN(const Answer deleted, Delete(*pods, ns, name, query));
  return Answer{201, Success(), deleted.warnings};
}

ApiResult<Answer> Api::GetScale(const ResourceInfo& resource, const std::string& ns,
                                const std::string& name) const {
  API_ASSIGN(const ObjectPtr object, Get(resource, ns, name));
  const JsonRef tree = object->Tree();
  return Answer{200, ScaleOf(resource, *tree), {}};
}

ApiResult<Answer> Api::UpdateScale(const ResourceInfo& resource, const std::string& ns,
                                   const std::string& name, const Json& scale,
                                   const WriteOptions& options) {
  API_ASSIGN(
      Answer answer,
      Modify(
          resource, ns, name, "",
          [&](const Json& current) { return WithScale(resource, current, scale); }, options));
  answer.object = ScaleOf(resource, answer.object);
  return answer;
}

ApiResult<Answer> Api::PatchScale(const ResourceInfo& resource, const std::string& ns,
                                  const std::string& name, PatchKind kind, const Json& patch,
                                  const WriteOptions& options) {
  const auto mutation = [&](const Json& current) -> ApiResult<Json> {
    Json scale = ScaleOf(resource, current);
    if (kind == PatchKind::kJson) {
      API_ASSIGN(scale, ApplyJsonPatch(scale, patch));
    } else {
      ApplyMergePatch(&scale, patch);
    }
    return WithScale(resource, current, scale);
  };
  API_ASSIGN(Answer answer, Modify(resource, ns, name, "", mutation, options));
  answer.object = ScaleOf(resource, answer.object);
  return answer;
}

}  // namespace envicutor::standalone

// Schemas of the built-in kinds: their own fields by name, what lies below as free objects, so that
// explain says something and validation refuses no real object.
#include "standalone/apiserver/schema/openapi.h"

namespace envicutor::standalone::schema {
namespace {

Json Text(const char* description) { return {{"type", "string"}, {"description", description}}; }
Json Flag(const char* description) { return {{"type", "boolean"}, {"description", description}}; }
Json Number(const char* description) {
  return {{"type", "integer"}, {"format", "int64"}, {"description", description}};
}
Json Time(const char* description) {
  return {{"type", "string"}, {"format", "date-time"}, {"description", description}};
}
Json Free(const char* description) {
  return {{"type", "object"},
          {"description", description},
          {"x-kubernetes-preserve-unknown-fields", true}};
}
Json FreeList(const char* description) {
  return {{"type", "array"},
          {"description", description},
          {"items", {{"type", "object"}, {"x-kubernetes-preserve-unknown-fields", true}}}};
}
Json Texts(const char* description) {
  return {{"type", "object"},
          {"description", description},
          {"additionalProperties", {{"type", "string"}}}};
}
Json Kind(const char* description, Json properties) {
  return {{"type", "object"}, {"description", description}, {"properties", std::move(properties)}};
}

Json EventFields(bool core) {
  Json fields = {{"action", Text("What was done or failed.")},
                 {"eventTime", Time("When it was first seen.")},
                 {"reason", Text("Why, in one word.")},
                 {"related", Free("Another object that has to do with it.")},
                 {"reportingInstance", Text("Which instance of the controller tells it.")},
                 {"series", Free("How often it came again.")},
                 {"type", Text("Normal or Warning.")}};
  if (core) {
    fields["involvedObject"] = Free("The object it is about.");
    fields["message"] = Text("What happened, for a person.");
    fields["source"] = Free("Who tells it.");
    fields["reportingComponent"] = Text("Name of the controller that tells it.");
    fields["firstTimestamp"] = Time("When it was first seen.");
    fields["lastTimestamp"] = Time("When it was last seen.");
    fields["count"] = Number("How often it was seen.");
  } else {
    fields["regarding"] = Free("The object it is about.");
    fields["note"] = Text("What happened, for a person.");
    fields["reportingController"] = Text("Name of the controller that tells it.");
    fields["deprecatedSource"] = Free("Who tells it.");
    fields["deprecatedFirstTimestamp"] = Time("When it was first seen.");
    fields["deprecatedLastTimestamp"] = Time("When it was last seen.");
    fields["deprecatedCount"] = Number("How often it was seen.");
  }
  return fields;
}

Json LeaseSpec() {
  return {{"type", "object"},
          {"description", "Who holds it, and until when."},
          {"properties",
           {{"holderIdentity", Text("Who holds it.")},
            {"leaseDurationSeconds", Number("Seconds after renewTime for which it is held.")},
            {"acquireTime", Time("When it was taken.")},
            {"renewTime", Time("When it was last renewed.")},
            {"leaseTransitions", Number("How often the holder changed.")},
            {"strategy", Text("How a leader is chosen.")},
            {"preferredHolder", Text("Who should take it.")}}}};
}

}  // namespace

std::vector<OpenApiResource> BuiltinOpenApiResources() {
  const Json with_spec = {{"spec", Free("The desired state.")}, {"status", Free("The state.")}};
  const std::string apiextensions = "apiextensions.k8s.io";
  return {
      {"", "v1", "Pod", "pods", true, true, false,
       Kind("Pod is a collection of containers that run on a host.", with_spec)},
      {"", "v1", "Namespace", "namespaces", false, true, false,
       Kind("Namespace provides a scope for names.", with_spec)},
      {"", "v1", "Node", "nodes", false, true, false, Kind("Node is a worker.", with_spec)},
      {"", "v1", "ConfigMap", "configmaps", true, false, false,
       Kind("ConfigMap holds configuration data for pods to consume.",
            {{"data", Texts("UTF-8 text by key.")},
             {"binaryData", Texts("Other bytes, in base64, by key.")},
             {"immutable", Flag("Whether the data can be changed.")}})},
      {"", "v1", "ResourceQuota", "resourcequotas", true, true, false,
       Kind("ResourceQuota sets aggregate quota restrictions enforced per namespace.", with_spec)},
      {"", "v1", "Secret", "secrets", true, false, false,
       Kind("Secret holds secret data of a certain type.",
            {{"data", Texts("Bytes in base64 by key.")},
             {"stringData", Texts("Text by key; written into data.")},
             {"type", Text("What the data is for.")},
             {"immutable", Flag("Whether the data can be changed.")}})},
      {"", "v1", "ServiceAccount", "serviceaccounts", true, false, false,
       Kind("ServiceAccount is an identity of programs.",
            {{"secrets", FreeList("Secrets that pods of it may use.")},
             {"imagePullSecrets", FreeList("Secrets to pull images with.")},
             {"automountServiceAccountToken", Flag("Whether pods get its token.")}})},
      {"", "v1", "Event", "events", true, false, false,
       Kind("Event is a report of an event somewhere in the cluster.", EventFields(true))},
      {"events.k8s.io", "v1", "Event", "events", true, false, false,
       Kind("Event is a report of an event somewhere in the cluster.", EventFields(false))},
      {"coordination.k8s.io", "v1", "Lease", "leases", true, false, false,
       Kind("Lease defines a lease concept.", {{"spec", LeaseSpec()}})},
      {apiextensions, "v1", "CustomResourceDefinition", "customresourcedefinitions", false, true,
       false,
       Kind("CustomResourceDefinition represents a resource that should be exposed on the API "
            "server.",
            with_spec)},
  };
}

}  // namespace envicutor::standalone::schema

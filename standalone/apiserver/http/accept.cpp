#include "standalone/apiserver/http/accept.h"

#include <map>
#include <string>

#include "standalone/apiserver/schema/openapi.h"

namespace envicutor::standalone {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Splits off what comes before `separator`.
std::string_view Next(std::string_view* text, char separator) {
  const size_t end = text->find(separator);
  const std::string_view part = text->substr(0, end);
  *text = end == std::string_view::npos ? std::string_view() : text->substr(end + 1);
  return Trim(part);
}

std::optional<Form> FormOf(std::string_view clause, bool discovery) {
  const std::string_view type = Next(&clause, ';');
  std::map<std::string, std::string, std::less<>> parameters;
  while (!clause.empty()) {
    std::string_view parameter = Next(&clause, ';');
    const std::string_view key = Next(&parameter, '=');
    parameters[std::string(key)] = std::string(Trim(parameter));
  }
  if (type == schema::kOpenApiV2ProtobufAccept) return Form::kOpenApiV2Protobuf;
  if (type != "application/json" && type != "*/*" && type != "application/*") return std::nullopt;
  const std::string as = parameters["as"];
  if (as.empty()) return Form::kJson;
  if (discovery) {
    const bool v2 = parameters["g"] == "apidiscovery.k8s.io" && parameters["v"] == "v2" &&
                    as == "APIGroupDiscoveryList";
    return v2 ? std::optional(Form::kAggregatedDiscovery) : std::nullopt;
  }
  if (parameters["g"] != "meta.k8s.io" || parameters["v"] != "v1") return std::nullopt;
  if (as == "Table") return Form::kTable;
  if (as == "PartialObjectMetadata") return Form::kPartialMetadata;
  if (as == "PartialObjectMetadataList") return Form::kPartialMetadataList;
  return std::nullopt;
}

}  // namespace

std::optional<Form> NegotiateForm(std::string_view accept, bool discovery) {
  if (Trim(accept).empty()) return Form::kJson;
  while (!accept.empty()) {
    if (const auto form = FormOf(Next(&accept, ','), discovery)) return form;
  }
  return std::nullopt;
}

}  // namespace envicutor::standalone

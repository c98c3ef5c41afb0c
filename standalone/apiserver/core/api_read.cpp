// get and list: resourceVersion semantics, selectors, limit and continue.
#include <charconv>

#include "common/base/encoding.h"
#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/core/object.h"

namespace envicutor::standalone {
namespace {

constexpr size_t kMaxTokenBytes = 2048;

std::optional<uint64_t> ParseRevision(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Where a page ended: the revision of the whole list and the last key given out.
struct Continue {
  uint64_t revision = 0;
  std::string last_key;
};

std::string EncodeContinue(const Continue& token) {
  return Base64Encode(DumpJson({{"v", "v1"}, {"rv", token.revision}, {"last", token.last_key}}));
}

std::optional<Continue> DecodeContinue(const std::string& text) {
  if (text.size() > kMaxTokenBytes) return std::nullopt;
  const Result<std::string> bytes = Base64Decode(text);
  if (!bytes.ok()) return std::nullopt;
  const Result<Json> json = ParseJson(*bytes, 2);
  if (!json.ok() || !At(*json, {"rv"}).is_number_unsigned() || !At(*json, {"last"}).is_string()) {
    return std::nullopt;
  }
  return Continue{(*json)["rv"].get<uint64_t>(), (*json)["last"].get<std::string>()};
}

std::string ObjectKey(const Object& object) { return KeyOf(object.Namespace(), object.Name()); }

}  // namespace

ApiResult<ObjectPtr> Api::Get(const ResourceInfo& resource, const std::string& ns,
                              const std::string& name) const {
  ObjectPtr object = store_->Get(resource.StorageName(), KeyOf(ns, name));
  if (object == nullptr) return NotFoundError(resource.Target(name));
  return object;
}

ApiResult<ListAnswer> Api::List(const ResourceInfo& resource, const std::string& ns,
                                const ListQuery& query) const {
  API_ASSIGN(const LabelSelector labels, LabelSelector::Parse(query.label_selector));
  API_ASSIGN(const FieldSelector fields, FieldSelector::Parse(query.field_selector, resource));
  const std::string prefix = ns.empty() ? "" : ns + "/";
  const std::string storage = resource.StorageName();
  ListSnapshot snapshot;
  std::string after;
  if (!query.continue_token.empty()) {
    const auto token = DecodeContinue(query.continue_token);
    if (!token) return BadRequestError("continue key is not valid");
    if (!query.resource_version.empty() && query.resource_version != "0") {
      return BadRequestError("specifying resource version is not allowed when using continue");
    }
    auto old = store_->ListAt(storage, prefix, token->revision);
    if (!old) {
      return ExpiredError(
          "The provided continue parameter is too old to display a consistent list result. You can "
          "start a new list without the continue parameter.");
    }
    snapshot = std::move(*old);
    after = token->last_key;
  } else {
    const auto revision = query.resource_version.empty() ? std::optional<uint64_t>(0)
                                                         : ParseRevision(query.resource_version);
    if (!revision) {
      return BadRequestError("Invalid value: \"" + query.resource_version + "\": resourceVersion");
    }
    const uint64_t now = store_->PublishedRevision();
    if (*revision > now) return TooLargeResourceVersionError(*revision, now);
    if (query.resource_version_match == "Exact") {
      if (*revision == 0) {
        return BadRequestError(
            "resourceVersionMatch is forbidden unless a resourceVersion other than 0 is provided");
      }
      auto old = store_->ListAt(storage, prefix, *revision);
      if (!old) {
        return ExpiredError("The resourceVersion for the provided list is too old.");
      }
      snapshot = std::move(*old);
    } else {
      snapshot = store_->List(storage, prefix);
    }
  }
  ListAnswer answer;
  answer.revision = snapshot.revision;
  const bool selects = !labels.Empty() || !fields.Empty();
  for (size_t i = 0; i < snapshot.objects.size(); ++i) {
    ObjectPtr& object = snapshot.objects[i];
    if (!after.empty() && ObjectKey(*object) <= after) continue;
    if (!labels.Matches(*object) || !fields.Matches(*object, resource)) continue;
    if (query.limit > 0 && answer.objects.size() == static_cast<size_t>(query.limit)) {
      answer.continue_token =
          EncodeContinue({snapshot.revision, ObjectKey(*answer.objects.back())});
      if (!selects) answer.remaining = static_cast<int64_t>(snapshot.objects.size() - i);
      break;
    }
    answer.objects.push_back(std::move(object));
  }
  return answer;
}

}  // namespace envicutor::standalone

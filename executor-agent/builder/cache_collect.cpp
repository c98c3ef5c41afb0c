#include "executor-agent/builder/cache_collect.h"

#include "common/api/limits.h"
#include "common/base/encoding.h"
#include "common/base/json.h"
#include "executor-agent/builder/cache_key.h"
#include "executor-agent/builder/report.h"
#include "executor-agent/store/environment_store.h"
#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {
namespace {

// A cache with more is not read in one go; nothing is deleted then.
constexpr size_t kMaxFiles = 1'000'000;
constexpr size_t kMaxPointerBytes = 4096;
constexpr std::string_view kNarinfoSuffix = ".narinfo";

bool IsNarinfoName(std::string_view name) {
  return name.size() == 32 + kNarinfoSuffix.size() && name.substr(32) == kNarinfoSuffix;
}

Status CheckCount(const std::vector<CacheFile>& files) {
  if (files.size() <= kMaxFiles) return OkStatus();
  return ResourceExhausted("the cache has more than " + std::to_string(kMaxFiles) +
                           " files in a folder; it is not collected");
}

Result<CacheContents> ReadContents(CacheFiles& files, const std::vector<std::string>& public_keys) {
  CacheContents contents;
  ENVICUTOR_ASSIGN(const std::vector<CacheFile> pointers, files.List("environments"));
  ENVICUTOR_RETURN_IF_ERROR(CheckCount(pointers));
  for (const CacheFile& file : pointers) {
    if (!IsEnvironmentHash(file.name)) continue;
    const Result<std::string> text = files.Get(PointerName(file.name), kMaxPointerBytes);
    if (!text.ok() && text.status().code() == Code::kUnavailable) return text.status();
    const Result<EnvironmentPointer> pointer =
        text.ok() ? VerifyPointer(file.name, *text, public_keys) : text.status();
    contents.pointers.push_back({file, pointer.ok() ? pointer->store_path : ""});
  }
  ENVICUTOR_ASSIGN(const std::vector<CacheFile> root, files.List(""));
  ENVICUTOR_RETURN_IF_ERROR(CheckCount(root));
  for (const CacheFile& file : root) {
    if (!IsNarinfoName(file.name)) continue;
    const Result<std::string> text = files.Get(file.name, kMaxNarinfoBytes);
    if (!text.ok() && text.status().code() == Code::kNotFound) continue;
    // Not to be mistaken for one that is broken.
    if (!text.ok() && text.status().code() != Code::kResourceExhausted) return text.status();
    Result<Narinfo> info = text.ok() ? ParseNarinfo(*text) : text.status();
    const bool readable = info.ok() && NarinfoName(info->store_path) == file.name;
    contents.narinfos.push_back({file, readable, readable ? *std::move(info) : Narinfo()});
  }
  ENVICUTOR_ASSIGN(contents.nars, files.List("nar"));
  ENVICUTOR_RETURN_IF_ERROR(CheckCount(contents.nars));
  contents.now_unix = files.NowUnixSeconds();
  return contents;
}

}  // namespace

Result<CollectRequest> ParseCollectRequest(std::string_view text) {
  ENVICUTOR_ASSIGN(const Json json, ParseJson(text, 8));
  CollectRequest request;
  request.options.max_bytes = GetInt(json, "maxBytes");
  request.options.grace_seconds = GetInt(json, "graceSeconds");
  const Json& live = At(json, {"live"});
  if (request.options.max_bytes <= 0 || request.options.grace_seconds <= 0 || !live.is_array()) {
    return InvalidArgument("a collection needs live, maxBytes and graceSeconds");
  }
  for (const Json& entry : live) {
    const std::string hash = GetString(entry, "hash");
    if (!IsEnvironmentHash(hash)) return InvalidArgument("live: not an environment's hash");
    LiveRoot root{GetString(entry, "storePath"), GetBool(entry, "pinned"),
                  GetInt(entry, "lastUsed")};
    if (!root.store_path.empty()) ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(root.store_path));
    request.live[hash] = std::move(root);
  }
  return request;
}

Result<Collection> CollectCache(CacheFiles& files, const CollectRequest& request,
                                const std::vector<std::string>& public_keys) {
  ENVICUTOR_ASSIGN(const CacheContents contents, ReadContents(files, public_keys));
  const Sweep sweep = DecideSweep(contents, request.live, request.options);
  Collection collection;
  for (const std::string& name : sweep.pointers) {
    ENVICUTOR_RETURN_IF_ERROR(files.Delete(PointerName(name)));
    collection.environments.push_back(name);
  }
  for (const std::string& name : sweep.narinfos) {
    ENVICUTOR_RETURN_IF_ERROR(files.Delete(name));
    ++collection.paths;
  }
  for (const std::string& name : sweep.nars) {
    ENVICUTOR_RETURN_IF_ERROR(files.Delete("nar/" + name));
  }
  collection.freed_bytes = sweep.freed_bytes;
  collection.kept_bytes = sweep.kept_bytes;
  collection.lost_nars = sweep.lost_nars;
  return collection;
}

std::string CollectionMessage(const Result<Collection>& collection) {
  if (!collection.ok()) {
    return DumpJson({{"outcome", "InternalError"},
                     {"message", ToUtf8Lossy(Utf8Prefix(collection.status().message(), 2048))}});
  }
  Json json = {{"outcome", "Collected"},
               {"message", std::to_string(collection->environments.size()) + " environments and " +
                               std::to_string(collection->paths) + " paths removed, " +
                               api::FormatQuantity(collection->freed_bytes) + " freed, " +
                               api::FormatQuantity(collection->kept_bytes) + " kept"},
               {"paths", collection->paths},
               {"freedBytes", collection->freed_bytes},
               {"keptBytes", collection->kept_bytes},
               {"storeEnvironments", collection->store_environments},
               {"lostNars", collection->lost_nars},
               {"environments", Json::array()}};
  for (const std::string& hash : collection->environments) {
    json["environments"].push_back(hash);
    if (DumpJson(json).size() > kMaxTerminationMessageBytes) {
      json["environments"].erase(json["environments"].size() - 1);
      break;
    }
  }
  return DumpJson(json);
}

}  // namespace envicutor::agent

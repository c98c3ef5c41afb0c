// The OpenAPI documents of the present Registry, made when first asked for. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "standalone/apiserver/core/api.h"

namespace envicutor::standalone {

class OpenApiCache {
 public:
  explicit OpenApiCache(const Api* api) : api_(api) {}

  struct Documents {
    std::map<std::string, std::string> v3;  // "api/v1", "apis/GROUP/VERSION"
    std::string v3_index;
    std::string v2_json;
    std::string v2_protobuf;
  };
  [[nodiscard]] std::shared_ptr<const Documents> Get();

 private:
  const Api* api_;
  std::mutex mutex_;
  uint64_t generation_ = 0;
  std::shared_ptr<const Documents> documents_;
};

}  // namespace envicutor::standalone

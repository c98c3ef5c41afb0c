// Query parameters and DeleteOptions as the core takes them. Pure.
#pragma once

#include <string>

#include "common/http/server.h"
#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/http/auth.h"
#include "standalone/apiserver/http/request_info.h"

namespace envicutor::standalone {

// Non-negative; `fallback` when absent.
[[nodiscard]] ApiResult<int64_t> IntQuery(const http::ServerRequest& request,
                                          const std::string& name, int64_t fallback);
[[nodiscard]] bool BoolQuery(const http::ServerRequest& request, const std::string& name);
// dryRun, fieldValidation, the manager and the user. `apply`: a server-side apply, which needs a
// fieldManager.
[[nodiscard]] ApiResult<WriteOptions> ReadWriteOptions(const http::ServerRequest& request,
                                                       const User& user, bool apply);
// Selectors, versions and pages; the name of a watched single object becomes a field selector.
[[nodiscard]] ApiResult<ListQuery> ReadListQuery(const http::ServerRequest& request,
                                                 const RequestInfo& info);
// Query parameters, overridden by the DeleteOptions in the body.
[[nodiscard]] ApiResult<DeleteQuery> ReadDeleteQuery(const http::ServerRequest& request);

}  // namespace envicutor::standalone

// One operation on the cache's files in a process of its own: a web client brings threads, and the
// builder must have none when it starts its next session.
#pragma once

#include <functional>
#include <string>

#include "common/base/status.h"
#include "executor-agent/builder/cache_files.h"

namespace envicutor::agent {

// Runs `operation` on the cache in a child process and returns what it returned.
// DeadlineExceeded: it did not end within `timeout_millis`. At most 1 MiB of content.
[[nodiscard]] Result<std::string> WithCacheFiles(
    const std::string& url, const std::string& netrc, int64_t timeout_millis,
    const std::function<Result<std::string>(CacheFiles&)>& operation);

}  // namespace envicutor::agent

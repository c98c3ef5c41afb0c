// Small whole-file reads and durable writes of our own (trusted) files. Never for paths that
// untrusted code could have written: those go through directory descriptors
// (executor-agent/sandbox).
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"

namespace envicutor {

// ResourceExhausted when the file has more than max_bytes.
[[nodiscard]] Result<std::string> ReadFile(const std::string& path, size_t max_bytes = 16U << 20U);
// Writes a temporary file beside `path`, fsyncs it, renames it over `path`, fsyncs the folder.
[[nodiscard]] Status WriteFileAtomic(const std::string& path, std::string_view content,
                                     unsigned mode = 0644);
// mkdir -p.
[[nodiscard]] Status MakeDirs(const std::string& path, unsigned mode = 0755);

}  // namespace envicutor

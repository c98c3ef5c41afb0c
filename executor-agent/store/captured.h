// Reads what the capture script left in the store. The output was written by user code: any file in
// it may be a link, a fifo or a terabyte, so everything is opened below the store's own descriptor
// and bounded.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {

struct Captured {
  std::map<std::string, std::string> variables;
  std::string shell;
  std::string env_binary;
};

// "NAME=value" strings, each ended by a NUL. Names that are not variables' names (bash's exported
// functions) are left out. InvalidArgument: too big, or not of this form.
[[nodiscard]] Result<std::map<std::string, std::string>> ParseVariables(std::string_view bytes);

// InvalidArgument: the output is not what the capture script writes, because the shellHook changed
// it.
[[nodiscard]] Result<Captured> ReadCaptured(const StoreLayout& layout,
                                            const std::string& store_path);

// True when `path` (below /nix/store) is an executable file, its links followed inside the store
// only.
[[nodiscard]] bool IsProgram(const StoreLayout& layout, const std::string& path);

}  // namespace envicutor::agent

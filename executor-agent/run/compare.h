// Comparison of a program's stdout with what a test expects. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace envicutor::agent {

// The first line (from 1) that differs, or nothing when they match. Unless `exact`, trailing white
// space on each line (space, tab, CR, VT, FF) and empty lines at the end do not count.
[[nodiscard]] std::optional<int64_t> FirstDifference(std::string_view expected,
                                                     std::string_view actual, bool exact);

}  // namespace envicutor::agent

// "$(NAME)" in the configuration file: what only the pod knows (its address, a generated key).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace envicutor::op {

using VariableLookup = std::function<std::optional<std::string>(const std::string& name)>;

// As in a pod's args: $(NAME) becomes the variable's value, $$(NAME) is a literal $(NAME), an
// unknown one stays as it is. Pure.
[[nodiscard]] std::string ExpandEnvironment(std::string_view text, const VariableLookup& lookup);
// By this process's own environment.
[[nodiscard]] std::string ExpandEnvironment(std::string_view text);

}  // namespace envicutor::op

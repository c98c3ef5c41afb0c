#include "operator/options_environment.h"

#include <gtest/gtest.h>

namespace envicutor::op {
namespace {

std::string Expand(const std::string& text) {
  return ExpandEnvironment(text, [](const std::string& name) -> std::optional<std::string> {
    if (name == "POD_IP") return "10.0.0.7";
    if (name == "NESTED") return "$(POD_IP)";
    return std::nullopt;
  });
}

TEST(OptionsEnvironment, ReplacesWhatItKnowsAndNothingElse) {
  EXPECT_EQ(Expand("listen: {probes: \"$(POD_IP):8081\"}"), "listen: {probes: \"10.0.0.7:8081\"}");
  EXPECT_EQ(Expand("$(POD_IP)$(POD_IP)"), "10.0.0.710.0.0.7");
  EXPECT_EQ(Expand("$(UNKNOWN) $() $( $ $(a b) cost: 5$"), "$(UNKNOWN) $() $( $ $(a b) cost: 5$");
  EXPECT_EQ(Expand("$$(POD_IP) $$"), "$(POD_IP) $$");
  EXPECT_EQ(Expand("$(NESTED)"), "$(POD_IP)") << "once, not again";
}

}  // namespace
}  // namespace envicutor::op

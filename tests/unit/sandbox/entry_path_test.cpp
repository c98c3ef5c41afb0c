#include "executor-agent/extract/entry_path.h"

#include <gtest/gtest.h>

namespace envicutor::extract {
namespace {

std::string Path(std::string_view entry) {
  std::string path;
  const std::string why = CheckEntryPath(entry, &path);
  return why.empty() ? path : "refused: " + why;
}

TEST(CheckEntryPath, NormalisesWhatIsFine) {
  EXPECT_EQ(Path("a/b"), "a/b");
  EXPECT_EQ(Path("./a//b/"), "a/b");
  EXPECT_EQ(Path("./"), "");
  EXPECT_EQ(Path("..."), "...");
}

TEST(CheckEntryPath, RefusesWhatLeaves) {
  EXPECT_EQ(Path("/a"), "refused: is absolute");
  EXPECT_EQ(Path("a/../b"), "refused: leaves the box");
  EXPECT_EQ(Path(".."), "refused: leaves the box");
  EXPECT_EQ(Path(""), "refused: has no name");
  EXPECT_EQ(Path(std::string(256, 'a')), "refused: has a part of more than 255 bytes");
}

TEST(CheckLinkTarget, StaysInside) {
  EXPECT_EQ(CheckLinkTarget("l", "a/b"), "");
  EXPECT_EQ(CheckLinkTarget("d/l", "../a"), "");
  EXPECT_EQ(CheckLinkTarget("d/e/l", "./../../a/.."), "");
  EXPECT_NE(CheckLinkTarget("l", "../a"), "");
  EXPECT_NE(CheckLinkTarget("d/l", "../../a"), "");
  EXPECT_NE(CheckLinkTarget("d/l", "a/../../../b"), "");
  EXPECT_NE(CheckLinkTarget("l", "/etc"), "");
  EXPECT_NE(CheckLinkTarget("l", ""), "");
}

}  // namespace
}  // namespace envicutor::extract

#include "common/base/status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

namespace envicutor {
namespace {

Result<std::unique_ptr<int>> Make(bool good) {
  if (!good) return NotFound("no int");
  return std::make_unique<int>(7);
}

Result<int> Use(bool good) {
  ENVICUTOR_ASSIGN(const std::unique_ptr<int> value, Make(good));
  return *value;
}

Status Twice(const Status& first, const Status& second) {
  ENVICUTOR_RETURN_IF_ERROR(first);
  ENVICUTOR_RETURN_IF_ERROR(second);
  return OkStatus();
}

TEST(Status, TextAndContext) {
  EXPECT_EQ("OK", OkStatus().ToString());
  EXPECT_TRUE(OkStatus().WithContext("x").ok());
  const Status status = NotFound("runtimes \"x\" not found").WithContext("get");
  EXPECT_EQ("NotFound: get: runtimes \"x\" not found", status.ToString());
}

TEST(Status, MacrosPassTheFirstFailureOn) {
  EXPECT_EQ(7, *Use(true));
  EXPECT_EQ(Code::kNotFound, Use(false).status().code());
  EXPECT_TRUE(Twice({}, {}).ok());
  EXPECT_EQ("b", Twice({}, Internal("b")).message());
  EXPECT_EQ("a", Twice(Internal("a"), Internal("b")).message());
}

TEST(Status, ErrnoMaps) {
  EXPECT_EQ(Code::kNotFound, ErrnoStatus(ENOENT, "open x").code());
  EXPECT_EQ("open x: No such file or directory", ErrnoStatus(ENOENT, "open x").message());
  EXPECT_EQ(Code::kResourceExhausted, ErrnoStatus(ENOSPC, "").code());
  EXPECT_EQ(Code::kPermissionDenied, ErrnoStatus(EPERM, "").code());
  EXPECT_EQ(Code::kUnavailable, ErrnoStatus(ECONNREFUSED, "").code());
  EXPECT_EQ(Code::kInternal, ErrnoStatus(EINVAL, "").code());
}

TEST(Status, EveryCodeHasAName) {
  for (int code = 0; code <= static_cast<int>(Code::kInternal); ++code) {
    EXPECT_NE("Unknown", CodeName(static_cast<Code>(code))) << code;
  }
}

TEST(ResultDeath, ValueOfAFailureEndsTheProcess) {
  EXPECT_DEATH((void)Use(false).value(), "no int");
}

}  // namespace
}  // namespace envicutor

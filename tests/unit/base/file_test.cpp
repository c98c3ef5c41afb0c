#include "common/base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "common/base/encoding.h"
#include "common/base/unique_fd.h"

namespace envicutor {
namespace {

class FileTest : public testing::Test {
 protected:
  FileTest() : folder_(testing::TempDir() + "/file-" + RandomHex(6)) {
    EXPECT_TRUE(MakeDirs(folder_).ok());
  }
  ~FileTest() override { std::filesystem::remove_all(folder_); }
  const std::string folder_;
};

TEST_F(FileTest, WritesAndReads) {
  const std::string path = folder_ + "/f";
  const std::string content("a\0b", 3);
  ASSERT_TRUE(WriteFileAtomic(path, content, 0600).ok());
  EXPECT_EQ(content, *ReadFile(path));
  struct stat info {};
  ASSERT_EQ(0, ::stat(path.c_str(), &info));
  EXPECT_EQ(0600U, info.st_mode & 0777U);
  ASSERT_TRUE(WriteFileAtomic(path, "").ok());
  EXPECT_EQ("", *ReadFile(path));
  // Nothing temporary stays.
  EXPECT_EQ(1, std::distance(std::filesystem::directory_iterator(folder_), {}));
}

TEST_F(FileTest, AtomicWriteReplacesALinkInsteadOfFollowingIt) {
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/target", "kept").ok());
  std::filesystem::create_symlink(folder_ + "/target", folder_ + "/link");
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/link", "new").ok());
  EXPECT_EQ("kept", *ReadFile(folder_ + "/target"));
  EXPECT_EQ("new", *ReadFile(folder_ + "/link"));
}

TEST_F(FileTest, ReadIsBounded) {
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/f", std::string(1000, 'x')).ok());
  EXPECT_TRUE(ReadFile(folder_ + "/f", 1000).ok());
  EXPECT_EQ(Code::kResourceExhausted, ReadFile(folder_ + "/f", 999).status().code());
  EXPECT_EQ(Code::kResourceExhausted, ReadFile("/dev/zero", 100'000).status().code());
}

TEST_F(FileTest, ErrorsHaveCodesAndPaths) {
  const auto missing = ReadFile(folder_ + "/none");
  EXPECT_EQ(Code::kNotFound, missing.status().code());
  EXPECT_NE(std::string::npos, missing.status().message().find("/none"));
  EXPECT_EQ(Code::kNotFound, WriteFileAtomic(folder_ + "/no/folder", "x").code());
  EXPECT_FALSE(WriteFileAtomic(folder_, "x").ok()) << "a folder is not replaced";
}

TEST_F(FileTest, MakesFoldersOnTheWay) {
  EXPECT_TRUE(MakeDirs(folder_ + "/a/b//c/").ok());
  EXPECT_TRUE(MakeDirs(folder_ + "/a/b/c").ok());
  EXPECT_TRUE(std::filesystem::is_directory(folder_ + "/a/b/c"));
  ASSERT_TRUE(WriteFileAtomic(folder_ + "/file", "").ok());
  EXPECT_FALSE(MakeDirs(folder_ + "/file/x").ok());
  EXPECT_FALSE(MakeDirs(folder_ + "/file").ok());
}

TEST(UniqueFd, ClosesOnceAndMoves) {
  int raw = -1;
  {
    UniqueFd a(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    raw = a.get();
    UniqueFd b(std::move(a));
    EXPECT_FALSE(a.valid());  // NOLINT(bugprone-use-after-move): that is the test
    EXPECT_EQ(raw, b.get());
    a = std::move(b);
    EXPECT_EQ(raw, a.get());
  }
  EXPECT_EQ(-1, ::fcntl(raw, F_GETFD));
  UniqueFd released(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  raw = released.release();
  EXPECT_FALSE(released.valid());
  EXPECT_EQ(0, ::close(raw));
}

}  // namespace
}  // namespace envicutor

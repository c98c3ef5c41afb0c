// The files of a box, on an ordinary folder.
#include "executor-agent/sandbox/box_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace envicutor::agent {
namespace {

namespace fs = std::filesystem;

class BoxFiles : public testing::Test {
 protected:
  BoxFiles() {
    std::string name = fs::temp_directory_path() / "envicutor-box-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    root_ = name;
    fs::create_directory(root_ / "box");
    fs::create_directory(root_ / "copy");
    fs::create_directory(root_ / "outside");
    std::ofstream(root_ / "outside" / "secret") << "secret";
    box_ = UniqueFd(::open((root_ / "box").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    copy_ = UniqueFd(::open((root_ / "copy").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~BoxFiles() override {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }
  fs::path root_;
  UniqueFd box_;
  UniqueFd copy_;
};

TEST_F(BoxFiles, WritesAndReads) {
  ASSERT_TRUE(WriteBoxFile(box_.get(), {"a/b/c", std::string("x\0y", 3), true}, ::getuid()).ok());
  const auto file = ReadBoxFile(box_.get(), "a/b/c", 100);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->content, std::string("x\0y", 3));
  EXPECT_EQ(fs::status(root_ / "box/a/b/c").permissions(), fs::perms(0755));
}

TEST_F(BoxFiles, NeverGoesThroughALink) {
  fs::create_directory_symlink(root_ / "outside", root_ / "box/dir");
  fs::create_symlink(root_ / "outside/secret", root_ / "box/file");
  fs::create_symlink("/proc/self/fd", root_ / "box/magic");
  EXPECT_EQ(ReadBoxFile(box_.get(), "dir/secret", 100).status().code(), Code::kInvalidArgument);
  EXPECT_EQ(ReadBoxFile(box_.get(), "file", 100).status().code(), Code::kInvalidArgument);
  EXPECT_FALSE(ReadBoxFile(box_.get(), "magic/0", 100).ok());
  EXPECT_FALSE(WriteBoxFile(box_.get(), {"dir/planted", "x", false}, ::getuid()).ok());
  EXPECT_FALSE(fs::exists(root_ / "outside/planted"));
  EXPECT_TRUE(WriteBoxFile(box_.get(), {"file", "mine", false}, ::getuid()).ok());
  std::string secret;
  std::ifstream(root_ / "outside/secret") >> secret;
  EXPECT_EQ(secret, "secret");
}

TEST_F(BoxFiles, AFifoDoesNotHoldTheReader) {
  ASSERT_EQ(::mkfifo((root_ / "box/fifo").c_str(), 0666), 0);
  EXPECT_EQ(ReadBoxFile(box_.get(), "fifo", 100).status().code(), Code::kInvalidArgument);
}

TEST_F(BoxFiles, CopiesATree) {
  fs::create_directories(root_ / "box/d/e");
  std::ofstream(root_ / "box/d/e/f") << "text";
  fs::permissions(root_ / "box/d", fs::perms(0700));
  fs::create_symlink("/etc/passwd", root_ / "box/link");
  ASSERT_EQ(::mkfifo((root_ / "box/fifo").c_str(), 0666), 0);
  std::ofstream(root_ / "box/sparse") << "x";
  fs::resize_file(root_ / "box/sparse", 1U << 30U);
  ASSERT_TRUE(CopyTree(box_.get(), copy_.get(), ::getuid()).ok());
  EXPECT_EQ(fs::file_size(root_ / "copy/d/e/f"), 4U);
  EXPECT_EQ(fs::status(root_ / "copy/d").permissions(), fs::perms(0700));
  EXPECT_EQ(fs::read_symlink(root_ / "copy/link"), "/etc/passwd");
  EXPECT_FALSE(fs::exists(root_ / "copy/fifo"));
  struct stat info {};
  ASSERT_EQ(::stat((root_ / "copy/sparse").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 1 << 30);
  EXPECT_LT(info.st_blocks, 1000);
}

TEST_F(BoxFiles, HolesAreCopiedAsHoles) {
  constexpr off_t kFar = 1 << 20;
  const std::string source = root_ / "box" / "sparse";
  {
    const UniqueFd file(::open(source.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_EQ(::pwrite(file.get(), "begin", 5, 0), 5);
    ASSERT_EQ(::pwrite(file.get(), "middle", 6, kFar), 6);
    ASSERT_EQ(::ftruncate(file.get(), 2 * kFar), 0);
    std::ofstream(root_ / "box" / "dense") << std::string(100'000, 'x');
  }
  ASSERT_TRUE(CopyTree(box_.get(), copy_.get(), ::getuid()).ok());
  const std::string copy = root_ / "copy" / "sparse";
  const auto content = [](const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  EXPECT_TRUE(content(copy) == content(source));
  EXPECT_TRUE(content(root_ / "copy" / "dense") == std::string(100'000, 'x'));
  struct stat info {};
  ASSERT_EQ(::stat(copy.c_str(), &info), 0);
  EXPECT_LT(info.st_blocks * 512, kFar);
}

TEST_F(BoxFiles, CopyingIsBounded) {
  for (int i = 0; i < 10; ++i) std::ofstream(root_ / "box" / std::to_string(i)) << i;
  EXPECT_EQ(CopyTree(box_.get(), copy_.get(), ::getuid(), {128, 9}).code(),
            Code::kResourceExhausted);
  fs::create_directories(root_ / "box/a/b/c/d");
  EXPECT_EQ(CopyTree(box_.get(), copy_.get(), ::getuid(), {3, 100}).code(), Code::kAlreadyExists);
  ASSERT_TRUE(EmptyFolder(copy_.get()).ok());
  EXPECT_EQ(CopyTree(box_.get(), copy_.get(), ::getuid(), {3, 100}).code(),
            Code::kResourceExhausted);
}

TEST_F(BoxFiles, EmptiesAnyDepth) {
  UniqueFd at(::dup(box_.get()));
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0755), 0);
    ASSERT_EQ(::mkdirat(at.get(), ".0", 0755), 0);  // a name like those that emptying uses
    at = UniqueFd(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  at.reset();
  fs::create_directory_symlink(root_ / "outside", root_ / "box/link");
  ASSERT_TRUE(EmptyFolder(box_.get()).ok());
  EXPECT_TRUE(fs::is_empty(root_ / "box"));
  EXPECT_TRUE(fs::exists(root_ / "outside/secret"));
}

}  // namespace
}  // namespace envicutor::agent

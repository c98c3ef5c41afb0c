// The files of a box, from outside: what a program left there must fool nobody.
#include "tests/conformance/fixture.h"

namespace envicutor::agent {
namespace {

using api::Limit;

TEST_P(Conformance, FilesAreWrittenWithTheirFoldersAndModes) {
  const auto box = NewBox();
  ASSERT_TRUE(box->WriteFile({"a/b/c.txt", "deep", false}).ok());
  ASSERT_TRUE(box->WriteFile({"run.sh", "#!/bin/sh\necho ran\n", true}).ok());
  ASSERT_TRUE(box->WriteFile({"run2.sh", "old", false}).ok());
  ASSERT_TRUE(box->WriteFile({"run2.sh", "new", false}).ok());
  EXPECT_EQ(ShellIn(*box, "cat a/b/c.txt; ./run.sh; cat run2.sh; rm -r a && echo mine").stdout_data,
            "deepran\nnewmine\n");
}

TEST_P(Conformance, PathsThatLeaveTheBoxAreRefused) {
  const auto box = NewBox();
  for (const char* path : {"../x", "/etc/x", "a/../../x", "", ".", "a//b"}) {
    EXPECT_FALSE(box->WriteFile({path, "x", false}).ok()) << path;
    EXPECT_FALSE(box->ReadFile(path, 10).ok()) << path;
  }
}

TEST_P(Conformance, AFileBiggerThanTheBoxIsRefused) {
  const auto box = NewBox(kMiB);
  const Status status = box->WriteFile({"big", std::string(2 * kMiB, 'x'), false});
  EXPECT_EQ(status.code(), Code::kResourceExhausted) << status.ToString();
}

TEST_P(Conformance, PlantedLinksAreNotFollowed) {
  const auto box = NewBox();
  EXPECT_TRUE(
      Exited(ShellIn(*box,
                     "ln -s /etc/passwd link; ln -s /etc dir; ln -s /proc/self/fd/0 magic; "
                     "ln -s ../../../../etc/passwd rel; mkfifo fifo; mkdir folder; echo x > real; "
                     "ln -s real inner; ln real hard"),
             0));
  for (const char* path : {"link", "dir/passwd", "magic", "rel", "fifo", "folder", "inner"}) {
    const auto file = box->ReadFile(path, 100);
    EXPECT_EQ(file.status().code(), Code::kInvalidArgument)
        << path << ": " << file.status().ToString();
  }
  EXPECT_EQ(box->ReadFile("absent", 100).status().code(), Code::kNotFound);
  EXPECT_EQ(box->ReadFile("hard", 100)->content, "x\n");
  // Writing replaces a link, it does not go through it; a folder behind a link is refused.
  EXPECT_TRUE(box->WriteFile({"link", "mine", false}).ok());
  EXPECT_EQ(box->ReadFile("link", 100)->content, "mine");
  EXPECT_FALSE(box->WriteFile({"dir/planted", "x", false}).ok());
  EXPECT_TRUE(box->WriteFile({"fifo", "mine", false}).ok());
}

TEST_P(Conformance, OutputFilesAreBoundedWhateverTheirSize) {
  const auto box = NewBox();
  EXPECT_TRUE(Exited(
      ShellIn(*box,
              "truncate -s 50M sparse; echo -n 12345 > five; echo bad > \"$(printf '\\377')\""),
      0));
  const auto sparse = box->ReadFile("sparse", 1000);
  ASSERT_TRUE(sparse.ok());
  EXPECT_EQ(sparse->content.size(), 1000U);
  EXPECT_TRUE(sparse->truncated);
  EXPECT_EQ(box->ReadFile("five", 5)->content, "12345");
  EXPECT_FALSE(box->ReadFile("five", 5)->truncated);
  EXPECT_EQ(box->ReadFile("five", 3)->content, "123");
  EXPECT_EQ(box->ReadFile("\xff", 10)->content, "bad\n");
}

TEST_P(Conformance, AttackAFileThatGrows) {
  const auto box = NewBox();
  EXPECT_TRUE(Exited(ProbeIn(*box, {"grow", "/box/log"}), 0));
  // What wrote to it is dead: it stays as it is.
  const auto first = box->ReadFile("log", 1 << 20);
  const auto second = box->ReadFile("log", 1 << 20);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_FALSE(first->content.empty());
  EXPECT_TRUE(first->content == second->content);
}

TEST_P(Conformance, ABoxKnowsItsSize) {
  const auto box = NewBox();
  ASSERT_TRUE(box->WriteFile({"a", std::string(kMiB, 'x'), false}).ok());
  const int64_t before = box->BoxBytes();
  EXPECT_GE(before, kMiB);
  EXPECT_LT(before, 2 * kMiB);
  EXPECT_TRUE(Exited(ShellIn(*box,
                             "dd if=/dev/zero of=b bs=1M count=2 2>/dev/null; "
                             "dd if=/dev/zero of=/tmp/t bs=1M count=5 2>/dev/null"),
                     0));
  // The scratch is not what goes on.
  EXPECT_GE(box->BoxBytes(), before + 2 * kMiB);
  EXPECT_LT(box->BoxBytes(), before + 3 * kMiB);
}

TEST_P(Conformance, ACloneHasTheSameFilesAndIsAnotherBox) {
  const auto box = NewBox();
  EXPECT_TRUE(Exited(
      ShellIn(
          *box,
          "mkdir -p d/e; echo 1 > d/e/f; chmod 750 d; ln -s d/e/f l; echo 'echo ok' > x; "
          "chmod 755 x; truncate -s 40M sparse; mkfifo p; touch -d '2001-02-03 04:05:06' d/e/f; "
          "echo t > /tmp/t"),
      0));
  auto clone = box->Clone();
  ASSERT_TRUE(clone.ok()) << clone.status().ToString();
  const StageOutcome outcome =
      ShellIn(**clone,
              "cat l; stat -c '%a %U' d; ./x; ls; du -s sparse | tr '\\t' ' '; readlink l; "
              "ls /tmp | wc -l; stat -c %y d/e/f; echo 2 > d/e/f; rm x");
  EXPECT_EQ(
      outcome.stdout_data,
      "1\n750 box\nok\nd\nl\nsparse\nx\n0 sparse\nd/e/f\n0\n2001-02-03 04:05:06.000000000 +0000\n")
      << outcome.stderr_data;
  EXPECT_EQ(ShellIn(*box, "cat d/e/f; ls").stdout_data, "1\nd\nl\np\nsparse\nx\n");
}

}  // namespace
}  // namespace envicutor::agent

// Archives are unpacked inside the box, by a program that has no more rights there than the
// submission's own.
#include "tests/conformance/archives.h"
#include "tests/conformance/fixture.h"

namespace envicutor::agent {
namespace {

using api::Limit;
using testing_support::Gzip;
using testing_support::TarBuilder;
using testing_support::ZipBuilder;

constexpr int kUnreadable = 1;
constexpr int kRefused = 2;
constexpr int kTooBig = 3;

TEST_P(Conformance, ExtractsAZip) {
  const auto box = NewBox();
  const std::string zip = ZipBuilder()
                              .Add("src/", "", 040755)
                              .Add("src/main.sh", "#!/bin/sh\necho ran\n", 0100755)
                              .Add("src/deep/\xc3\xa9.txt", "text")
                              .Add("link", "src/main.sh", 0120777)
                              .Zip();
  EXPECT_TRUE(Exited(box->Extract(zip, limits, {}), 0));
  EXPECT_EQ(
      ShellIn(*box, "./link; cat src/deep/*; stat -c '%a %U' src/main.sh src/deep; ls /tmp | wc -l")
          .stdout_data,
      "ran\ntext755 box\n755 box\n0\n");
}

TEST_P(Conformance, ExtractsATarGz) {
  const auto box = NewBox();
  const std::string tar = TarBuilder()
                              .Add("./a/", "", '5')
                              .Add("./a/b", "B")
                              .Add("run", "#!/bin/sh\ncat a/b hard soft\n", '0', "", 0755)
                              .Add("hard", "", '1', "a/b")
                              .Add("soft", "", '2', "a/../hard")
                              .Add("a/b", "C")  // a later entry of the same name counts
                              .TarGz();
  EXPECT_TRUE(Exited(box->Extract(tar, limits, {}), 0));
  EXPECT_EQ(ShellIn(*box, "./run").stdout_data, "CBB");
}

TEST_P(Conformance, ABigArchiveIsExtractedWhole) {
  const auto box = NewBox();
  std::string content(6 * kMiB, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7 + i / 1000);
  EXPECT_TRUE(Exited(box->Extract(ZipBuilder().Add("big", content).Zip(), limits, {}), 0));
  EXPECT_TRUE(box->ReadFile("big", content.size())->content == content);
}

void ExpectRefused(const StageOutcome& outcome, int code, const std::string& message) {
  EXPECT_TRUE(Exited(outcome, code));
  EXPECT_NE(outcome.stderr_data.find(message), std::string::npos) << outcome.stderr_data;
}

TEST_P(Conformance, AttackZipSlipAndLinks) {
  const auto extract = [&](const std::string& archive) {
    return NewBox()->Extract(archive, limits, {});
  };
  ExpectRefused(extract(ZipBuilder().Add("../evil", "x").Zip()), kRefused,
                "\"../evil\" leaves the box");
  ExpectRefused(extract(ZipBuilder().Add("a/../../evil", "x").Zip()), kRefused, "leaves the box");
  ExpectRefused(extract(TarBuilder().Add("/etc/evil", "x").TarGz()), kRefused,
                "\"/etc/evil\" is absolute");
  ExpectRefused(extract(ZipBuilder().Add("l", "/etc", 0120777).Zip()), kRefused, "absolute");
  ExpectRefused(extract(TarBuilder().Add("l", "", '2', "../..").TarGz()), kRefused,
                "outside the box");
  ExpectRefused(extract(TarBuilder().Add("l", "", '1', "../x").TarGz()), kRefused,
                "outside the box");
  ExpectRefused(
      extract(TarBuilder().Add("d/", "", '5').Add("l", "", '2', "d").Add("l/x", "x").TarGz()),
      kRefused, "behind a link");
  ExpectRefused(extract(TarBuilder().Add("null", "", '3').TarGz()), kRefused, "neither a file");
  ExpectRefused(extract(TarBuilder().Add("fifo", "", '6').TarGz()), kRefused, "neither a file");
}

TEST_P(Conformance, AttackArchiveBombs) {
  const auto small = NewBox(4 * kMiB);
  const std::string zeros(12 * kMiB, '\0');
  const std::string bomb = TarBuilder().Add("zeros", zeros).TarGz();
  ASSERT_LT(bomb.size(), 100'000U);
  ExpectRefused(small->Extract(bomb, limits, {}), kTooBig, "maxDisk");
  Limit(Limit::kMaxFileSize, kMiB);
  ExpectRefused(NewBox()->Extract(bomb, limits, {}), kTooBig, "maxFileSize");
  TarBuilder many;
  for (int i = 0; i < 6'000; ++i) many.Add("f" + std::to_string(i), "");
  ExpectRefused(NewBox(4 * kMiB)->Extract(many.TarGz(), limits, {}), kTooBig, "maxDisk");
}

TEST_P(Conformance, WhatIsNoArchiveIsSaidSo) {
  for (const std::string& bytes : {std::string(), std::string("hello"), std::string(2000, '\x7f'),
                                   Gzip("hello"), ZipBuilder().Add("a", "b").Zip().substr(0, 40)}) {
    const StageOutcome outcome = NewBox()->Extract(bytes, limits, {});
    ExpectRefused(outcome, kUnreadable, "extract: ");
  }
  std::string cut = TarBuilder().Add("a", std::string(100'000, 'x')).Tar();
  cut.resize(50'000);
  ExpectRefused(NewBox()->Extract(Gzip(cut), limits, {}), kUnreadable, "");
}

TEST_P(Conformance, ExtractingObeysLimitsAndCancelling) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(KilledBy(NewBox()->Extract("x", limits, stop.get_token()), Killed::kCancelled, ""));
}

}  // namespace
}  // namespace envicutor::agent

// Every fuzz target over its corpus: seeds, and each input that once broke something.
#include <gtest/gtest.h>

#include <filesystem>
#include <vector>

#include "common/base/file.h"
#include "tests/fuzz/target.h"

namespace envicutor::fuzz {
namespace {

namespace fs = std::filesystem;

const fs::path kCorpus = ENVICUTOR_FUZZ_CORPUS;

TEST(FuzzCorpus, EveryInputOfEveryTargetIsFine) {
  ASSERT_FALSE(Targets().empty());
  for (const auto& [name, target] : Targets()) {
    int inputs = 0;
    ASSERT_TRUE(fs::is_directory(kCorpus / name)) << name << " has no corpus";
    for (const auto& file : fs::directory_iterator(kCorpus / name)) {
      const Result<std::string> data = ReadFile(file.path());
      ASSERT_TRUE(data.ok()) << data.status().ToString();
      SCOPED_TRACE(file.path());
      target(*data);
      ++inputs;
    }
    EXPECT_GT(inputs, 0) << name << " has an empty corpus";
    target("");
  }
}

TEST(FuzzCorpus, EveryFolderHasItsTarget) {
  for (const auto& folder : fs::directory_iterator(kCorpus)) {
    EXPECT_EQ(Targets().count(folder.path().filename()), 1U) << folder.path();
  }
}

}  // namespace
}  // namespace envicutor::fuzz

#include "executor-agent/builder/cache_mark.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "executor-agent/builder/cache_collect.h"
#include "executor-agent/builder/cache_key.h"

namespace envicutor::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kNow = 1'000'000;
constexpr int64_t kOld = kNow - 10'000;
constexpr int64_t kYoung = kNow - 10;

std::string Path(char c) { return "/nix/store/" + std::string(32, c) + "-x"; }
std::string Name(char c) { return std::string(32, c) + ".narinfo"; }
std::string Nar(char c) { return std::string(1, c) + ".nar.zst"; }
std::string Hash(char c) { return std::string(32, c); }

// Paths '0'..'9': path i refers to the paths that are given; NARs have 10 bytes each.
struct Cache {
  CacheContents contents{{}, {}, {}, kNow};
  std::map<std::string, LiveRoot> live;
  MarkOptions options{1'000, 3'600};

  Cache& Add(char c, const std::string& references, int64_t modified = kOld) {
    StoredNarinfo stored{{Name(c), 500, modified}, true, {Path(c), "nar/" + Nar(c), {}, 10}};
    for (const char reference : references) stored.info.references.push_back(Path(reference));
    contents.narinfos.push_back(std::move(stored));
    contents.nars.push_back({Nar(c), 10, modified});
    return *this;
  }
  Cache& Environment(char hash, char path, int64_t modified = kOld) {
    contents.pointers.push_back({{Hash(hash), 100, modified}, Path(path)});
    return *this;
  }
  Cache& Pin(char hash, char path) {
    live[Hash(hash)] = {Path(path), true, 0};
    return *this;
  }
  [[nodiscard]] Sweep Decide() const { return DecideSweep(contents, live, options); }
};

TEST(CacheMark, WhatALiveEnvironmentNeedsStays) {
  Cache cache;
  cache.Add('0', "0").Add('1', "01").Add('2', "2").Environment('a', '1').Pin('a', '1');
  cache.options.max_bytes = 1;  // even so
  const Sweep sweep = cache.Decide();
  EXPECT_THAT(sweep.pointers, IsEmpty());
  EXPECT_THAT(sweep.narinfos, ElementsAre(Name('2')));
  EXPECT_THAT(sweep.nars, IsEmpty()) << "its reader may still be at it";
  EXPECT_EQ(sweep.kept_bytes, 30);
}

TEST(CacheMark, ALivePathNeedsNoPointer) {
  Cache cache;
  cache.Add('0', "").Add('1', "0").Pin('a', '1');
  EXPECT_THAT(cache.Decide().narinfos, IsEmpty());
}

TEST(CacheMark, ANarGoesOnceNoNarinfoNamesIt) {
  Cache cache;
  cache.contents.nars = {{Nar('5'), 10, kOld}, {Nar('6'), 10, kYoung}};
  const Sweep sweep = cache.Decide();
  EXPECT_THAT(sweep.nars, ElementsAre(Nar('5'))) << "the young one's narinfo may be on its way";
  EXPECT_EQ(sweep.freed_bytes, 10);
}

TEST(CacheMark, WhatIsYoungStaysWithAllThatItNeeds) {
  Cache cache;
  cache.Add('0', "").Add('1', "0").Add('2', "1", kYoung);
  EXPECT_THAT(cache.Decide().narinfos, IsEmpty());
  cache.contents.narinfos[2].file.modified_unix_seconds = kOld;
  EXPECT_THAT(cache.Decide().narinfos, ElementsAre(Name('0'), Name('1'), Name('2')));
}

TEST(CacheMark, LeastRecentlyUsedGoFirstWithinTheBound) {
  Cache cache;
  cache.Add('0', "").Add('1', "0").Add('2', "0").Add('3', "0");
  cache.Environment('a', '1').Environment('b', '2').Environment('c', '3');
  cache.live[Hash('b')] = {"", false, kOld + 500};
  cache.options.max_bytes = 30;  // the shared path and two others
  EXPECT_THAT(cache.Decide().pointers, ElementsAre(Hash('c')));
  EXPECT_THAT(cache.Decide().narinfos, ElementsAre(Name('3')));
  cache.options.max_bytes = 20;
  EXPECT_THAT(cache.Decide().pointers, ElementsAre(Hash('a'), Hash('c')));
  cache.Pin('c', '3');
  EXPECT_THAT(cache.Decide().pointers, ElementsAre(Hash('b'), Hash('a')));
}

TEST(CacheMark, WhatIsBrokenGoes) {
  Cache cache;
  cache.Add('0', "").Add('1', "").Pin('a', '0').Pin('b', '1');
  cache.contents.narinfos[1].readable = false;
  cache.contents.nars.erase(cache.contents.nars.begin());  // of the first
  cache.contents.pointers.push_back({{Hash('e'), 3, kOld}, ""});
  cache.contents.pointers.push_back({{Hash('f'), 3, kYoung}, ""});
  const Sweep sweep = cache.Decide();
  EXPECT_THAT(sweep.narinfos, ElementsAre(Name('0'), Name('1')));
  EXPECT_EQ(sweep.lost_nars, 1);
  EXPECT_THAT(sweep.pointers, ElementsAre(Hash('e')));
}

// Whatever the cache looks like: nothing that a kept root needs goes, and a second run finds no
// more narinfos to remove.
TEST(CacheMark, RandomCachesKeepClosuresWhole) {
  std::mt19937 random(4);
  const auto up_to = [&random](int most) { return static_cast<int>(random() % (most + 1)); };
  for (int round = 0; round < 300; ++round) {
    Cache cache;
    const std::string names = "0123456789";
    for (const char c : names) {
      std::string references;
      for (int i = up_to(3); i > 0; --i) references += names[static_cast<size_t>(up_to(9))];
      cache.Add(c, references, up_to(5) == 0 ? kYoung : kOld);
    }
    for (char hash = 'a'; hash <= 'f'; ++hash) {
      const char path = names[static_cast<size_t>(up_to(9))];
      cache.Environment(hash, path, up_to(5) == 0 ? kYoung : kOld - up_to(100));
      if (up_to(4) == 0) cache.Pin(hash, path);
    }
    cache.options.max_bytes = 10 * up_to(10) + 1;
    const Sweep sweep = cache.Decide();
    const std::set<std::string> gone(sweep.narinfos.begin(), sweep.narinfos.end());
    const std::set<std::string> dropped(sweep.pointers.begin(), sweep.pointers.end());
    std::vector<std::string> todo;
    for (const StoredPointer& pointer : cache.contents.pointers) {
      const auto live = cache.live.find(pointer.file.name);
      if (live != cache.live.end()) {
        ASSERT_FALSE(dropped.contains(pointer.file.name));
      }
      if (!dropped.contains(pointer.file.name)) todo.push_back(NarinfoName(pointer.store_path));
    }
    std::set<std::string> seen;
    while (!todo.empty()) {
      const std::string name = todo.back();
      todo.pop_back();
      if (!seen.insert(name).second) continue;
      ASSERT_FALSE(gone.contains(name)) << "round " << round;
      for (const StoredNarinfo& narinfo : cache.contents.narinfos) {
        if (narinfo.file.name != name) continue;
        for (const std::string& path : narinfo.info.references) todo.push_back(NarinfoName(path));
      }
    }
    std::erase_if(cache.contents.narinfos,
                  [&](const auto& n) { return gone.contains(n.file.name); });
    std::erase_if(cache.contents.pointers,
                  [&](const auto& p) { return dropped.contains(p.file.name); });
    ASSERT_THAT(cache.Decide().narinfos, IsEmpty());
  }
}

TEST(CacheKey, PointersAreSignedAndNothingElseIsTaken) {
  // Of RFC 8032, test 1, in Nix's form.
  const std::string secret =
      "k-1:nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/"
      "tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
  const std::string public_key = "k-1:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
  EXPECT_TRUE(BelongsTo(secret, {"x:y", public_key}));
  EXPECT_FALSE(BelongsTo(secret, {"k-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}));
  EXPECT_FALSE(BelongsTo("k-1:short", {public_key}));
  const Result<std::string> pointer = SignPointer(Hash('a'), Path('0'), secret);
  ASSERT_TRUE(pointer.ok());
  const Result<EnvironmentPointer> read = VerifyPointer(Hash('a'), *pointer, {public_key});
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->store_path, Path('0'));
  EXPECT_EQ(read->signed_by, "k-1");
  EXPECT_FALSE(VerifyPointer(Hash('b'), *pointer, {public_key}).ok());
  EXPECT_FALSE(VerifyPointer(Hash('a'), *pointer, {}).ok());
  std::string other = *pointer;
  other.replace(other.find(Path('0')), Path('0').size(), Path('1'));
  EXPECT_FALSE(VerifyPointer(Hash('a'), other, {public_key}).ok());
  EXPECT_FALSE(VerifyPointer(Hash('a'), "[]", {public_key}).ok());
  EXPECT_FALSE(VerifyPointer(Hash('a'), "{", {public_key}).ok());
}

TEST(Narinfo, NamesAreChecked) {
  const std::string good = "StorePath: " + Path('0') + "\nURL: nar/1abc.nar.zst\nFileSize: 7\n" +
                           "References: " + Path('1').substr(11) + " " + Path('2').substr(11) +
                           "\n";
  const Result<Narinfo> info = ParseNarinfo(good);
  ASSERT_TRUE(info.ok()) << info.status().message();
  EXPECT_THAT(info->references, ElementsAre(Path('1'), Path('2')));
  EXPECT_EQ(info->file_size_bytes, 7);
  EXPECT_EQ(NarinfoName(info->store_path), Name('0'));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return ParseNarinfo(text).ok();
  };
  EXPECT_FALSE(with("nar/1abc", "nar/../1abc"));
  EXPECT_FALSE(with("nar/1abc", "http://x/1abc"));
  EXPECT_FALSE(with("nar/1abc", "nar/.x"));
  EXPECT_FALSE(with(Path('0'), "/etc/shadow"));
  EXPECT_FALSE(with(Path('1').substr(11), "../../x"));
  EXPECT_FALSE(with("FileSize: 7", "FileSize: -7"));
  EXPECT_FALSE(ParseNarinfo("").ok());
}

TEST(Netrc, EntriesOfAHost) {
  const std::string text =
      "machine a login x password y # no\n# machine b login z\nmachine b\n  login q\n"
      "  password r\ndefault login d password e\n";
  EXPECT_EQ(FindInNetrc(text, "a").password, "y");
  EXPECT_EQ(FindInNetrc(text, "b").login, "q");
  EXPECT_EQ(FindInNetrc(text, "c").login, "d");
  EXPECT_EQ(FindInNetrc("machine a login", "a").login, "");
}

TEST(CacheCollect, TheRequestIsCheckedAndTheAnswerFits) {
  EXPECT_FALSE(ParseCollectRequest("{}").ok());
  EXPECT_FALSE(
      ParseCollectRequest(R"({"live": [{"hash": "../x"}], "maxBytes": 1, "graceSeconds": 1})")
          .ok());
  EXPECT_TRUE(ParseCollectRequest(R"({"live": [], "maxBytes": 1, "graceSeconds": 1})").ok());
  Collection collection;
  collection.environments.assign(1000, Hash('a'));
  const std::string message = CollectionMessage(collection);
  EXPECT_LE(message.size(), 4096U);
  EXPECT_THAT(message, HasSubstr("1000 environments"));
}

}  // namespace
}  // namespace envicutor::agent

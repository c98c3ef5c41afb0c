#include "standalone/apiserver/core/members.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "common/base/flat_map.h"
#include "tests/unit/base/counted.h"

namespace envicutor::standalone {
namespace {

using Map = FlatMap<std::string, std::string>;
using Counted = FlatMap<CountedKey, CountedValue>;

constexpr int kMany = 50'000;
constexpr size_t kLogarithm = 16;

CountedKey KeyFor(int number) { return CountedKey(std::to_string(1'000'000 + number)); }

TEST(TakeMembers, NoOrderIsQuadratic) {
  for (const HostileOrder order : kHostileOrders) {
    for (const int different : {kMany, kMany / 2, 1}) {
      SCOPED_TRACE(std::to_string(static_cast<int>(order)) + " " + std::to_string(different));
      std::vector<Counted::value_type> members;
      members.reserve(kMany);
      for (int i = 0; i < kMany; ++i) {
        members.emplace_back(KeyFor(InOrder(order, i, kMany) % different), CountedValue(i));
      }
      Counts::Reset();
      Counted map;
      int repeated = 0;
      TakeMembers(&members, 0, &map, [&](size_t) { ++repeated; });
      EXPECT_EQ(map.size(), static_cast<size_t>(different));
      EXPECT_EQ(repeated, kMany - different);
      EXPECT_TRUE(members.empty());
      EXPECT_LT(Counts::compared, 2 * kMany * (kLogarithm + 8));
      EXPECT_LE(Counts::moved, size_t{kMany});
    }
  }
}

TEST(ChangeMembers, NoPlaceOfTheChangesIsQuadratic) {
  // In front of what is there, behind it, among it, instead of it.
  for (const auto& [first, step] : {std::pair{0, 1}, {3 * kMany, 1}, {kMany + 1, 2}, {kMany, 2}}) {
    SCOPED_TRACE(first);
    Counted map;
    Counted changes;
    for (int i = 0; i < kMany; ++i) {
      map.AppendSorted(KeyFor(kMany + 2 * i), CountedValue(0));
      changes.AppendSorted(KeyFor(first + step * i), CountedValue(i));
    }
    Counts::Reset();
    ChangeMembers(&map, changes, [](CountedValue* member, const CountedValue& value) {
      *member = value;
      return value.number() % 2 == 0;
    });
    EXPECT_LE(Counts::compared, 5 * size_t{kMany});
    EXPECT_LE(Counts::moved, 4 * size_t{kMany});
  }
}

// Both against std::map.
TEST(Members, AreThoseOfAMapWhateverComes) {
  std::mt19937 random(1);
  const auto key = [&] { return std::to_string(random() % 300); };
  for (int round = 0; round < 200; ++round) {
    std::map<std::string, std::string> model;
    std::vector<Map::value_type> members = {{"before", "stays"}};
    std::vector<std::string> again;
    for (int i = static_cast<int>(random() % 400); i > 0; --i) {
      members.emplace_back(key(), std::to_string(i));
      const auto& [name, value] = members.back();
      if (!model.insert_or_assign(name, value).second) again.push_back(name);
    }
    Map map;
    std::vector<std::string> repeated;
    TakeMembers(&members, 1, &map, [&](size_t index) { repeated.push_back(members[index].first); });
    std::sort(again.begin(), again.end());
    EXPECT_EQ(repeated, again);
    ASSERT_EQ(members.size(), 1U);
    EXPECT_EQ(members[0].second, "stays");
    Map changes;
    for (int i = static_cast<int>(random() % 200); i > 0; --i) changes.emplace(key(), key());
    for (const auto& [name, value] : changes) {
      if (value < "2") {
        model.erase(name);
      } else {
        model[name] += value;
      }
    }
    ChangeMembers(&map, changes, [](std::string* member, const std::string& value) {
      *member += value;
      return value >= "2";
    });
    ASSERT_EQ(map.size(), model.size());
    auto wanted = model.begin();
    for (const auto& [name, value] : map) {
      EXPECT_EQ(name, wanted->first);
      EXPECT_EQ(value, wanted->second);
      ++wanted;
    }
  }
}

}  // namespace
}  // namespace envicutor::standalone

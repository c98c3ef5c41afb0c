#include "common/base/flat_map.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <random>
#include <string>

#include "common/base/json.h"
#include "tests/unit/base/counted.h"

namespace envicutor {
namespace {

using Map = FlatMap<std::string, std::optional<std::string>>;
using Model = std::map<std::string, std::optional<std::string>>;

std::string Shown(const Map& map) {
  std::string text;
  for (const auto& [key, value] : map) text += key + "=" + value.value_or("-") + " ";
  return text;
}
std::string Shown(const Model& map) {
  std::string text;
  for (const auto& [key, value] : map) text += key + "=" + value.value_or("-") + " ";
  return text;
}

std::string KeyFor(int number, int order) {
  std::string key = std::to_string(number);
  if (order != 0) key = std::string(6 - key.size(), '0') + key;
  if (number % 3 == 0) key += "-long-enough-for-the-heap";
  if (number % 7 == 0) key = std::string(1, static_cast<char>(200 + number % 50)) + key;
  return key;
}

// One step on both; whether they still say the same.
class Pair {
 public:
  Pair(unsigned seed, int keys, int order) : random_(seed), keys_(keys), order_(order) {}

  void Step(int step) {
    const std::string key = Key();
    const std::string value =
        std::to_string(step) + std::string(static_cast<size_t>(step % 30), 'x');
    const unsigned what = Below(100);
    if (what < 50) {
      const auto [at, added] = map_.emplace(key, value);
      EXPECT_EQ(model_.emplace(key, value).second, added);
      EXPECT_EQ(key, at->first);
      EXPECT_EQ(model_.at(key), at->second);
    } else if (what < 60) {
      map_[std::string_view(key)] = value;
      model_[key] = value;
    } else if (what < 70) {
      EXPECT_EQ(model_.erase(key), map_.erase(key));
    } else if (what < 80) {
      EraseAt(key);
    } else if (what < 84) {
      Copies();
    } else if (what < 86) {
      EraseRange();
    } else {
      EXPECT_EQ(model_.count(key), map_.count(key));
      EXPECT_EQ(model_.contains(key), map_.contains(key));
    }
  }
  void Compare() {
    ASSERT_EQ(model_.size(), map_.size());
    ASSERT_EQ(model_.empty(), map_.empty());
    ASSERT_EQ(Shown(model_), Shown(map_));
    auto at = map_.end();
    for (auto it = model_.rbegin(); it != model_.rend(); ++it) ASSERT_EQ(it->first, (--at)->first);
    ASSERT_TRUE(at == map_.begin());
  }

 private:
  unsigned Below(unsigned bound) { return static_cast<unsigned>(random_() % bound); }
  std::string Key() {
    const auto keys = static_cast<unsigned>(keys_);
    const int next = order_ == 0 ? static_cast<int>(Below(keys)) : next_++ % keys_;
    return KeyFor(order_ == 2 ? keys_ - next : next, order_);
  }
  void Next(Map::iterator at, Model::iterator wanted) {
    ASSERT_EQ(wanted == model_.end(), at == map_.end());
    if (wanted != model_.end()) {
      EXPECT_EQ(wanted->first, at->first);
    }
  }
  void EraseAt(const std::string& key) {
    const auto wanted = model_.find(key);
    const auto at = map_.find(key);
    ASSERT_EQ(wanted == model_.end(), at == map_.end());
    if (wanted != model_.end()) Next(map_.erase(at), model_.erase(wanted));
  }
  void EraseRange() {
    const auto first = Below(static_cast<unsigned>(model_.size() + 1));
    const auto rest = static_cast<unsigned>(model_.size()) - first;
    const auto last = first + Below(std::min(rest, 40U) + 1);
    Next(map_.erase(std::next(map_.begin(), first), std::next(map_.begin(), last)),
         model_.erase(std::next(model_.begin(), first), std::next(model_.begin(), last)));
  }
  void Copies() {
    Map copy(map_);
    EXPECT_TRUE(copy == map_);
    EXPECT_FALSE(copy < map_);
    map_ = Map(model_.begin(), model_.end());
    EXPECT_TRUE(copy == map_);
    Map moved(std::move(copy));
    EXPECT_TRUE(moved == map_);
    map_.clear();
    EXPECT_TRUE(map_.empty());
    swap(map_, moved);
  }

  std::mt19937 random_;
  int keys_;
  int order_;
  int next_ = 0;
  Map map_;
  Model model_;
};

TEST(FlatMap, DoesWhatStdMapDoes) {
  unsigned seed = 0;
  for (const int keys : {5, 20, 70, 200, 2'000}) {
    for (const int order : {0, 1, 2}) {
      SCOPED_TRACE(std::to_string(keys) + " keys, order " + std::to_string(order));
      Pair pair(++seed, keys, order);
      for (int step = 0; step < 4'000; ++step) {
        pair.Step(step);
        if (step % 100 == 0) {
          ASSERT_NO_FATAL_FAILURE(pair.Compare());
        }
      }
    }
  }
}

TEST(FlatMap, SortedInputFillsItsLeaves) {
  Map map;
  map.Reserve(1'000'000);  // not taken at its word
  for (int i = 0; i < 1'000; ++i) map.AppendSorted(KeyFor(i * 2 + 1, 1), std::nullopt);
  EXPECT_EQ(1'000U, map.size());
  EXPECT_EQ(map.end(), map.find("000000"));
  EXPECT_EQ(map.end(), map.find("zzz"));
}

// Counted, not timed: an insertion compares with a logarithm of the keys that are there, and moves
// no more than a leaf's values.
TEST(FlatMap, NoOrderOfInsertionIsQuadratic) {
  using Counted = FlatMap<CountedKey, CountedValue>;
  constexpr int kMany = 50'000;
  constexpr size_t kLogarithm = 16;
  for (const HostileOrder order : kHostileOrders) {
    SCOPED_TRACE(static_cast<int>(order));
    Counts::Reset();
    Counted map;
    for (int i = 0; i < kMany; ++i) {
      const int number = InOrder(order, i, kMany);
      map.emplace(CountedKey(std::to_string(1'000'000 + number)), CountedValue(number));
    }
    ASSERT_EQ(size_t{kMany}, map.size());
    EXPECT_LT(Counts::compared, kMany * (kLogarithm + 8));
    EXPECT_LT(Counts::moved, kMany * size_t{2 * Counted::kLeafMax});
    int number = 0;
    for (const auto& [key, value] : map) ASSERT_EQ(value.number(), number++);
    // The same again: nothing is added.
    Counts::Reset();
    for (int i = 0; i < kMany; ++i) {
      map.emplace(CountedKey(std::to_string(1'000'000 + InOrder(order, i, kMany))),
                  CountedValue(-1));
    }
    EXPECT_LT(Counts::compared, kMany * (kLogarithm + 8));
    EXPECT_EQ(Counts::moved, 0U);
    EXPECT_EQ(size_t{kMany}, map.size());
    Counts::Reset();
    while (!map.empty()) {
      map.erase(order == HostileOrder::kSorted ? map.begin() : std::prev(map.end()));
    }
    EXPECT_LT(Counts::moved, kMany * size_t{Counted::kLeafMax});
  }
}

TEST(FlatMap, IsLookedUpByAnyText) {
  Json object = {{"b", 1}, {"a", {{"c", 2}}}};
  EXPECT_EQ(1, object[std::string_view("b")]);
  EXPECT_EQ(2, object.at("a").at(std::string("c")));
  EXPECT_TRUE(object.contains("a"));
  EXPECT_EQ(object.end(), object.find("x"));
  EXPECT_EQ(7, object.value("x", 7));
  EXPECT_EQ(1U, object.erase("a"));
  EXPECT_EQ("{\"b\":1}", DumpJson(object));
}

TEST(FlatMap, IsOrderedAsStdMap) {
  const std::vector<std::string> texts = {"{}",         "{\"a\":1}", "{\"a\":1,\"b\":2}",
                                          "{\"a\":2}",  "{\"b\":0}", "{\"a\":null}",
                                          "{\"a\":[1]}"};
  for (const std::string& a : texts) {
    for (const std::string& b : texts) {
      const bool less = nlohmann::json::parse(a) < nlohmann::json::parse(b);
      EXPECT_EQ(less, Json::parse(a) < Json::parse(b)) << a << " " << b;
      EXPECT_EQ(a == b, Json::parse(a) == Json::parse(b)) << a << " " << b;
    }
  }
}

TEST(FlatMap, AMemberMayBeAssignedFromItsNeighbour) {
  Json object = {{"b", "long enough to be somewhere else"}};
  for (const char* key : {"a", "aa", "c", "bb", "0"}) object[key] = object["b"];
  for (const auto& [key, value] : object.items()) EXPECT_EQ(object["b"], value) << key;
}

}  // namespace
}  // namespace envicutor

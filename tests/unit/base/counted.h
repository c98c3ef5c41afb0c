// Keys and values of a FlatMap that count how often they are compared and moved.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace envicutor {

struct Counts {
  static inline size_t compared = 0;  // keys looked at
  static inline size_t moved = 0;     // values
  static void Reset() { compared = moved = 0; }
};

class CountedKey {
 public:
  explicit CountedKey(std::string text) : text_(std::move(text)) {}
  // Implicit, as std::string has it.
  operator std::string_view() const {
    ++Counts::compared;
    return text_;
  }

 private:
  std::string text_;
};

class CountedValue {
 public:
  CountedValue() = default;
  explicit CountedValue(int number) : number_(number) {}
  CountedValue(const CountedValue&) = default;
  CountedValue(CountedValue&& other) noexcept : number_(other.number_) { ++Counts::moved; }
  CountedValue& operator=(const CountedValue&) = default;
  CountedValue& operator=(CountedValue&& other) noexcept {
    number_ = other.number_;
    ++Counts::moved;
    return *this;
  }
  ~CountedValue() = default;
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_ = 0;
};

// The `i`th of `many` numbers below `many`, each once, in an order that is hard on a sorted vector.
enum class HostileOrder { kSorted, kReverse, kInwards, kOutwards, kStrides };
constexpr HostileOrder kHostileOrders[] = {HostileOrder::kSorted, HostileOrder::kReverse,
                                           HostileOrder::kInwards, HostileOrder::kOutwards,
                                           HostileOrder::kStrides};
constexpr int InOrder(HostileOrder order, int i, int many) {
  switch (order) {
    case HostileOrder::kSorted:
      return i;
    case HostileOrder::kReverse:
      return many - 1 - i;
    case HostileOrder::kInwards:  // first, last, second, last but one ...
      return i % 2 == 0 ? i / 2 : many - 1 - i / 2;
    case HostileOrder::kOutwards:  // always in the middle of what is there already
      return InOrder(HostileOrder::kInwards, many - 1 - i, many);
    case HostileOrder::kStrides:  // in front of each leaf in turn
      return static_cast<int>((i * 7919LL) % many);
  }
  return i;
}

}  // namespace envicutor

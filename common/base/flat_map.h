// The members of a JSON object (json.h): a map sorted by key that keeps its
// elements side by side, which is what nlohmann's basic_json needs of a map and
// costs a fraction of std::map's nodes (docs/adr/0013-json-without-nodes.md).
//
// Elements lie in leaves of at most kLeafMax. An object of up to that many
// members, nearly every one, is one allocation; a larger one has a directory of
// its leaves, so that no order of insertion, however hostile, moves more than a
// leaf's elements and the directory's pointers.
//
// What differs from std::map: insertion and erasure invalidate every iterator,
// pointer and reference into the map (not into the values below: a Json's own
// members stay where they are). Not thread-safe beside a writer.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace envicutor {

// `Key` is std::string: looked up by anything that a std::string_view can be
// made of. The last two parameters are those of std::map, which basic_json
// passes; the order is always that of std::less.
template <class Key, class T, class Less = std::less<>,
          class Allocator = std::allocator<std::pair<const Key, T>>>
class FlatMap {
  struct Leaf;
  template <bool kConst>
  class IteratorOf;

 public:
  using key_type = Key;
  using mapped_type = T;
  using value_type = std::pair<Key, T>;  // keys must be movable; nobody may write to them
  using key_compare = std::less<>;
  using allocator_type = Allocator;
  using size_type = size_t;
  using difference_type = ptrdiff_t;
  using reference = value_type&;
  using const_reference = const value_type&;
  using pointer = value_type*;
  using const_pointer = const value_type*;
  using iterator = IteratorOf<false>;
  using const_iterator = IteratorOf<true>;

  static constexpr uint32_t kLeafMax = 64;

  FlatMap() noexcept = default;
  FlatMap(const FlatMap& other) : FlatMap() {
    Reserve(other.size_);
    for (const value_type& element : other) {
      Leaf* leaf = RoomAtEnd();
      new (leaf->end()) value_type(element);
      ++leaf->size;
      ++size_;
    }
  }
  FlatMap(FlatMap&& other) noexcept { swap(other); }
  template <class Input>
  FlatMap(Input first, Input last) : FlatMap() {
    insert(first, last);
  }
  FlatMap(std::initializer_list<value_type> elements) : FlatMap(elements.begin(), elements.end()) {}
  FlatMap& operator=(FlatMap other) noexcept {
    swap(other);
    return *this;
  }
  ~FlatMap() { clear(); }

  iterator begin() noexcept { return {first_, first_ == nullptr ? nullptr : first_->begin()}; }
  iterator end() noexcept {
    Leaf* last = Last();
    return {last, last == nullptr ? nullptr : last->end()};
  }
  const_iterator begin() const noexcept { return const_cast<FlatMap*>(this)->begin(); }
  const_iterator end() const noexcept { return const_cast<FlatMap*>(this)->end(); }
  const_iterator cbegin() const noexcept { return begin(); }
  const_iterator cend() const noexcept { return end(); }

  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] size_type size() const noexcept { return size_; }
  [[nodiscard]] size_type max_size() const noexcept { return SIZE_MAX / sizeof(value_type); }

  iterator find(std::string_view key) noexcept {
    if (first_ == nullptr) return end();
    Leaf* leaf = LeafOf(key);
    value_type* found = leaf->Find(key);
    return found == nullptr ? end() : iterator(leaf, found);
  }
  const_iterator find(std::string_view key) const noexcept {
    return const_cast<FlatMap*>(this)->find(key);
  }
  [[nodiscard]] size_type count(std::string_view key) const noexcept {
    return find(key) == end() ? 0 : 1;
  }
  [[nodiscard]] bool contains(std::string_view key) const noexcept { return count(key) != 0; }

  // Does nothing where the key is there, as std::map's.
  template <class K, class V>
  std::pair<iterator, bool> emplace(K&& key, V&& value) {
    Leaf* leaf = nullptr;
    uint32_t at = 0;
    if (first_ != nullptr) {
      const std::string_view wanted(key);
      leaf = LeafOf(wanted);
      bool found = false;
      at = leaf->LowerBound(wanted, &found);
      if (found) return {iterator(leaf, leaf->begin() + at), false};
    }
    return {Insert(leaf, at, value_type(Key(std::forward<K>(key)), T(std::forward<V>(value)))),
            true};
  }
  std::pair<iterator, bool> insert(const value_type& element) {
    return emplace(element.first, element.second);
  }
  std::pair<iterator, bool> insert(value_type&& element) {
    return emplace(std::move(element.first), std::move(element.second));
  }
  template <class Input>
  void insert(Input first, Input last) {
    for (; first != last; ++first) emplace(first->first, first->second);
  }
  template <class K>
  T& operator[](K&& key) {
    return emplace(std::forward<K>(key), T()).first->second;
  }

  // For builders: room for `count` elements in an empty map, if they fit one
  // leaf.
  void Reserve(size_type count) {
    if (first_ == nullptr && count > 0) {
      first_ = NewLeaf(static_cast<uint32_t>(std::min<size_type>(count, kLeafMax)));
    }
  }
  // `key` must be greater than every key in the map.
  T& AppendSorted(Key&& key, T&& value) {
    Leaf* leaf = RoomAtEnd();
    auto* element = new (leaf->end()) value_type(std::move(key), std::move(value));
    ++leaf->size;
    ++size_;
    return element->second;
  }

  // The element behind the erased ones.
  iterator erase(iterator at) noexcept {
    Leaf* leaf = at.leaf_;
    const auto index = static_cast<uint32_t>(at.element_ - leaf->begin());
    at.element_->~value_type();
    Shift(at.element_ + 1, leaf->end(), at.element_);
    --leaf->size;
    --size_;
    if (leaf->size == 0) return RemoveLeaf(leaf);
    if (index < leaf->size || leaf->next == nullptr) return {leaf, leaf->begin() + index};
    return {leaf->next, leaf->next->begin()};
  }
  iterator erase(iterator first, iterator last) noexcept {
    for (difference_type count = std::distance(first, last); count > 0; --count) {
      first = erase(first);
    }
    return first;
  }
  size_type erase(std::string_view key) noexcept {
    const iterator found = find(key);
    if (found == end()) return 0;
    erase(found);
    return 1;
  }
  void clear() noexcept {
    for (Leaf* leaf = first_; leaf != nullptr;) DeleteLeaf(std::exchange(leaf, leaf->next));
    first_ = nullptr;
    directory_.reset();
    size_ = 0;
  }

  void swap(FlatMap& other) noexcept {
    std::swap(first_, other.first_);
    std::swap(directory_, other.directory_);
    std::swap(size_, other.size_);
  }
  friend void swap(FlatMap& a, FlatMap& b) noexcept { a.swap(b); }

  friend bool operator==(const FlatMap& a, const FlatMap& b) {
    return a.size_ == b.size_ && std::equal(a.begin(), a.end(), b.begin());
  }
  friend std::partial_ordering operator<=>(const FlatMap& a, const FlatMap& b) {
    return std::lexicographical_compare_three_way(
        a.begin(), a.end(), b.begin(), b.end(),
        [](const value_type& x, const value_type& y) -> std::partial_ordering {
          const auto order = x.first <=> y.first;
          if (order != 0) return order;
          return x.second <=> y.second;
        });
  }

 private:
  // Before its elements in the same allocation. Never empty, unless just made
  // by Reserve.
  struct Leaf {
    Leaf* previous;
    Leaf* next;
    uint32_t size;
    uint32_t capacity;

    value_type* begin() noexcept { return reinterpret_cast<value_type*>(this + 1); }
    value_type* end() noexcept { return begin() + size; }

    value_type* Find(std::string_view key) noexcept {
      if (size > kScanMax) {
        bool found = false;
        const uint32_t at = LowerBound(key, &found);
        return found ? begin() + at : nullptr;
      }
      // Most that differ do so in size, which costs less to compare than their
      // order.
      for (value_type* element = begin(); element != end(); ++element) {
        if (std::string_view(element->first) == key) return element;
      }
      return nullptr;
    }
    uint32_t LowerBound(std::string_view key, bool* found) noexcept {
      uint32_t low = 0;
      uint32_t high = size;
      // The last first: members mostly come in their order.
      for (uint32_t middle = size == 0 ? 0 : size - 1; low < high; middle = (low + high) / 2) {
        const int order = std::string_view(begin()[middle].first).compare(key);
        if (order == 0) {
          *found = true;
          return middle;
        }
        if (order < 0) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      return low;
    }
  };
  static constexpr uint32_t kScanMax = 12;
  static constexpr uint32_t kFirstCapacity = 4;

  template <bool kConst>
  class IteratorOf {
   public:
    using iterator_category = std::bidirectional_iterator_tag;
    using value_type = typename FlatMap::value_type;
    using difference_type = ptrdiff_t;
    using reference = std::conditional_t<kConst, const value_type&, value_type&>;
    using pointer = std::conditional_t<kConst, const value_type*, value_type*>;

    IteratorOf() noexcept = default;
    IteratorOf(Leaf* leaf, typename FlatMap::value_type* element) noexcept
        : leaf_(leaf), element_(element) {}
    template <bool kOther, class = std::enable_if_t<kConst && !kOther>>
    IteratorOf(const IteratorOf<kOther>& other) noexcept
        : leaf_(other.leaf_), element_(other.element_) {}

    reference operator*() const noexcept { return *element_; }
    pointer operator->() const noexcept { return element_; }
    IteratorOf& operator++() noexcept {
      if (++element_ == leaf_->end() && leaf_->next != nullptr) {
        leaf_ = leaf_->next;
        element_ = leaf_->begin();
      }
      return *this;
    }
    IteratorOf& operator--() noexcept {
      if (element_ == leaf_->begin()) {
        leaf_ = leaf_->previous;
        element_ = leaf_->end();
      }
      --element_;
      return *this;
    }
    IteratorOf operator++(int) noexcept {
      IteratorOf before = *this;
      ++*this;
      return before;
    }
    IteratorOf operator--(int) noexcept {
      IteratorOf before = *this;
      --*this;
      return before;
    }
    friend bool operator==(const IteratorOf& a, const IteratorOf& b) noexcept {
      return a.element_ == b.element_;
    }

   private:
    friend class FlatMap;
    template <bool>
    friend class IteratorOf;

    Leaf* leaf_ = nullptr;
    typename FlatMap::value_type* element_ = nullptr;
  };

  static Leaf* NewLeaf(uint32_t capacity) {
    static_assert(std::is_nothrow_move_constructible_v<value_type>);
    static_assert(alignof(value_type) <= alignof(Leaf) && sizeof(Leaf) % alignof(value_type) == 0);
    return new (::operator new(sizeof(Leaf) + capacity * sizeof(value_type)))
        Leaf{nullptr, nullptr, 0, capacity};
  }
  static void DeleteLeaf(Leaf* leaf) noexcept {
    std::destroy(leaf->begin(), leaf->end());
    ::operator delete(leaf);
  }

  // Moves [first, last) down to `to`, which lies before it or elsewhere.
  static void Shift(value_type* first, value_type* last, value_type* to) noexcept {
    for (; first != last; ++first, ++to) {
      new (to) value_type(std::move(*first));
      first->~value_type();
    }
  }

  Leaf* Last() const noexcept { return directory_ == nullptr ? first_ : directory_->back(); }

  // The leaf whose keys may include `key`; the map must not be empty of leaves.
  Leaf* LeafOf(std::string_view key) const noexcept {
    if (directory_ == nullptr) return first_;
    return *(Behind(key) - 1);
  }
  // In the directory: where the first leaf stands, except the very first, that
  // begins behind `key`.
  auto Behind(std::string_view key) const noexcept {
    return std::upper_bound(directory_->begin() + 1, directory_->end(), key,
                            [](std::string_view wanted, Leaf* leaf) {
                              return wanted < std::string_view(leaf->begin()->first);
                            });
  }

  iterator Insert(Leaf* leaf, uint32_t at, value_type&& element) {
    leaf = Room(leaf, &at);
    for (value_type* to = leaf->end(); to != leaf->begin() + at; --to) {
      new (to) value_type(std::move(to[-1]));
      to[-1].~value_type();
    }
    new (leaf->begin() + at) value_type(std::move(element));
    ++leaf->size;
    ++size_;
    return {leaf, leaf->begin() + at};
  }

  // A leaf with room for an element at `*at` of `leaf` (null in a map without
  // leaves), `*at` there.
  Leaf* Room(Leaf* leaf, uint32_t* at) {
    if (leaf == nullptr) return first_ = NewLeaf(kFirstCapacity);
    if (leaf->size < leaf->capacity) return leaf;
    return leaf->size == kLeafMax ? Split(leaf, at) : Grow(leaf);
  }
  Leaf* RoomAtEnd() {
    Leaf* last = Last();
    uint32_t at = last == nullptr ? 0 : last->size;
    return Room(last, &at);
  }

  // Only of a leaf alone: those of a directory have their full size.
  Leaf* Grow(Leaf* leaf) {
    first_ = NewLeaf(std::min(kLeafMax, leaf->capacity * 2));
    Shift(leaf->begin(), leaf->end(), first_->begin());
    first_->size = leaf->size;
    ::operator delete(leaf);
    return first_;
  }

  // What is appended at the very end gets a new leaf, so that sorted input
  // fills its leaves.
  Leaf* Split(Leaf* leaf, uint32_t* at) {
    if (directory_ == nullptr) directory_ = std::make_unique<Directory>(1, leaf);
    const uint32_t kept = leaf->next == nullptr && *at == leaf->size ? leaf->size : leaf->size / 2;
    directory_->reserve(directory_->size() + 1);
    Leaf* behind = NewLeaf(kLeafMax);
    directory_->insert(Behind(leaf->begin()->first), behind);
    Shift(leaf->begin() + kept, leaf->end(), behind->begin());
    behind->size = leaf->size - kept;
    leaf->size = kept;
    behind->previous = leaf;
    behind->next = leaf->next;
    if (behind->next != nullptr) behind->next->previous = behind;
    leaf->next = behind;
    if (*at < kept) return leaf;
    *at -= kept;
    return behind;
  }

  iterator RemoveLeaf(Leaf* leaf) noexcept {
    Leaf* next = leaf->next;
    if (directory_ == nullptr) {
      first_ = nullptr;
    } else {
      directory_->erase(std::find(directory_->begin(), directory_->end(), leaf));
      if (next != nullptr) next->previous = leaf->previous;
      if (leaf->previous != nullptr) leaf->previous->next = next;
      first_ = directory_->front();
      if (directory_->size() == 1) directory_.reset();
    }
    ::operator delete(leaf);
    return next == nullptr ? end() : iterator(next, next->begin());
  }

  using Directory = std::vector<Leaf*>;
  Leaf* first_ = nullptr;
  std::unique_ptr<Directory> directory_;  // in order; none while there is at most one leaf
  size_type size_ = 0;
};

}  // namespace envicutor

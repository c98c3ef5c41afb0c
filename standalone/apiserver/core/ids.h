// Where uids and the tails of generated names come from: the kernel in the daemon, a seed in the
// simulation.
#pragma once

#include <cstdint>
#include <mutex>
#include <random>
#include <string>

namespace envicutor::standalone {

// Thread-safe.
class IdSource {
 public:
  virtual ~IdSource() = default;
  // 64 random bits.
  [[nodiscard]] virtual uint64_t Next() = 0;
  // A version 4 UUID.
  [[nodiscard]] std::string Uuid();
  // Five characters, without vowels so that no words come out (Kubernetes' alphabet).
  [[nodiscard]] std::string NameSuffix();
};

class SystemIdSource final : public IdSource {
 public:
  [[nodiscard]] uint64_t Next() override;
};

class SeededIdSource final : public IdSource {
 public:
  explicit SeededIdSource(uint64_t seed) : random_(seed) {}
  [[nodiscard]] uint64_t Next() override;

 private:
  std::mutex mutex_;
  std::mt19937_64 random_;
};

}  // namespace envicutor::standalone

// Boxes made ahead, empty and never used: who needs one does not wait for the spawner. Of the sizes
// that were asked for last, as most submissions have the same limits.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>

#include "common/base/status.h"
#include "common/base/unique_fd.h"
#include "executor-agent/sandbox/native/protocol.h"

namespace envicutor::agent::native {

struct SpareBox {
  uint64_t id = 0;
  unsigned uid = 0;
  UniqueFd top;
};

// Thread-safe, and nobody waits for an answer that another waits for, nor for a spawner that does
// not read what another sends it.
class SpareBoxes {
 public:
  // SpawnerClient::Send, and SendNow, without a payload.
  using Send = std::function<Status(uint64_t generation, const Request&, std::span<const int>)>;
  // Fills in the id and the user of a new box; a failure: not now.
  using Assign = std::function<Status(Request*)>;
  using GiveBackUid = std::function<void(unsigned)>;
  // `keep`: how many at most.
  SpareBoxes(Send send, Send send_now, size_t keep, Assign assign, GiveBackUid give_back_uid);

  // A box of `size` (kMakeBox's disk_bytes and inodes) in spawner `generation`; it is the caller's,
  // its user id with it. nullopt: there is none, make one. Waits for one that is still being made
  // as long as for any of the spawner's answers.
  [[nodiscard]] std::optional<SpareBox> Take(uint64_t generation, const Request& size);
  // Asks the spawner for one more unless there are enough, and does not wait for it: where it does
  // not read now there is none.
  void Refill(uint64_t generation, const Request& size);
  // Gives one up, for its user id. False when there is none.
  bool DropOne();

 private:
  struct Asked {
    Request request;
    UniqueFd reply;  // the spawner's answer comes here
  };
  // Found: it fits. Else *in_the_way is one to drop, if there is any.
  [[nodiscard]] std::optional<Asked> Pick(uint64_t generation, const Request& size,
                                          std::optional<Asked>* in_the_way);
  // mutex_ not held: it may have to wait for the spawner.
  void Drop(uint64_t generation, const Asked& asked);
  // mutex_ held. Those of earlier spawners are gone; false when this one is.
  [[nodiscard]] bool Expect(uint64_t generation);

  const Send send_;
  const Send send_now_;
  const size_t keep_;
  const Assign assign_;
  const GiveBackUid give_back_uid_;
  std::mutex mutex_;
  uint64_t generation_ = 0;
  std::deque<Asked> asked_;
};

}  // namespace envicutor::agent::native

// Boxes made ahead, empty and never used: who needs one does not wait for the spawner. Of the sizes
// that were asked for last, as most submissions have the same limits.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "common/base/status.h"
#include "common/base/unique_fd.h"
#include "executor-agent/sandbox/native/spawner_client.h"

namespace envicutor::agent::native {

struct SpareBox {
  uint64_t id = 0;
  unsigned uid = 0;
  UniqueFd top;
};

// Thread-safe.
class SpareBoxes {
 public:
  // Fills in the id and the user of a new box; a failure: not now.
  using Assign = std::function<Status(Request*)>;
  using GiveBackUid = std::function<void(unsigned)>;
  // `keep`: how many at most. The spawner outlives this.
  SpareBoxes(SpawnerClient* spawner, size_t keep, Assign assign, GiveBackUid give_back_uid);

  // A box of `size` (kMakeBox's disk_bytes and inodes) in spawner `generation`; it is the caller's,
  // its user id with it. nullopt: there is none, make one.
  [[nodiscard]] std::optional<SpareBox> Take(uint64_t generation, const Request& size);
  // Asks the spawner for one more unless there are enough, and does not wait for it.
  void Refill(uint64_t generation, const Request& size);
  // Gives one up, for its user id. False when there is none.
  bool DropOne();

 private:
  struct Asked {
    Request request;
    UniqueFd reply;  // the spawner's answer comes here
  };
  void Drop(Asked asked);            // mutex_ held
  void Expect(uint64_t generation);  // mutex_ held: those of other spawners are gone

  SpawnerClient* const spawner_;
  const size_t keep_;
  const Assign assign_;
  const GiveBackUid give_back_uid_;
  std::mutex mutex_;
  uint64_t generation_ = 0;
  std::deque<Asked> asked_;
};

// Waits for the answer to kMakeBox on a socket of its own, as long as for any of the spawner's.
[[nodiscard]] Result<UniqueFd> ReceiveBox(const UniqueFd& reply);

}  // namespace envicutor::agent::native

// Compiled boxes, kept to be cloned: the same program is compiled once however often it is run.
//
// An entry is a sealed box: nothing ever runs in it after the compile stage, runs get clones, so
// that no run can write what another will read. The key is a hash of everything that went into the
// box.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/api/run.h"
#include "executor-agent/sandbox/sandbox.h"

namespace envicutor::agent {

// SHA-256 over everything that decides what a box holds after its compile stage: environment, files
// with their modes, archive, script, variables, limits, and the box's size. Names and tests do not
// matter.
[[nodiscard]] std::string CompileKey(const api::RunRequest& request, int64_t max_disk_bytes);

// A box after its extract and compile stages, with their results. Clone is thread-safe.
class CompiledBox {
 public:
  CompiledBox(std::unique_ptr<Box> box, std::optional<api::StageResult> extract,
              api::StageResult compile)
      : box_(std::move(box)), extract_(std::move(extract)), compile_(std::move(compile)) {}

  [[nodiscard]] Result<std::unique_ptr<Box>> Clone() {
    const std::lock_guard lock(mutex_);
    return box_->Clone();
  }
  [[nodiscard]] const std::optional<api::StageResult>& extract() const { return extract_; }
  [[nodiscard]] const api::StageResult& compile() const { return compile_; }

 private:
  std::mutex mutex_;
  std::unique_ptr<Box> box_;
  const std::optional<api::StageResult> extract_;
  const api::StageResult compile_;
};

struct CompileCacheStats {
  int64_t entries = 0;
  int64_t bytes = 0;
  int64_t hits = 0;
  int64_t misses = 0;
  int64_t evictions = 0;
};

// Least recently used entries go first when there are more than `max_entries` or `max_bytes`. An
// entry that is in use when it goes lives until its users are done. Thread-safe.
class CompileCache {
 public:
  CompileCache(size_t max_entries, int64_t max_bytes)
      : max_entries_(max_entries), max_bytes_(max_bytes) {}

  [[nodiscard]] std::shared_ptr<CompiledBox> Find(const std::string& key);
  // Not kept when `bytes` alone is over the bound; the older entry stays when the key is there
  // already.
  void Insert(const std::string& key, std::shared_ptr<CompiledBox> box, int64_t bytes);
  // Removes the least recently used entry, to give its place in the sandbox back. False when empty.
  bool EvictOne();
  [[nodiscard]] CompileCacheStats stats() const;

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<CompiledBox> box;
    int64_t bytes = 0;
  };
  using Entries = std::list<Entry>;  // most recently used first

  const size_t max_entries_;
  const int64_t max_bytes_;
  mutable std::mutex mutex_;
  Entries entries_;
  std::unordered_map<std::string, Entries::iterator> index_;
  CompileCacheStats stats_;
};

}  // namespace envicutor::agent

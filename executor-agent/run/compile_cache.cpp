#include "executor-agent/run/compile_cache.h"

#include <utility>
#include <vector>

#include "common/base/encoding.h"

namespace envicutor::agent {
namespace {

// Length before bytes: no two different inputs have the same serialisation.
class KeyWriter {
 public:
  KeyWriter& Add(std::string_view bytes) {
    buffer_ += std::to_string(bytes.size());
    buffer_ += ':';
    buffer_ += bytes;
    return *this;
  }
  KeyWriter& Add(int64_t number) { return Add(std::to_string(number)); }
  KeyWriter& Add(const api::Limits& limits) {
    for (size_t i = 0; i < api::kLimitCount; ++i)
      Add(limits.Get(static_cast<api::Limit>(i)).value_or(-1));
    return *this;
  }
  [[nodiscard]] std::string Hash() const { return Sha256Hex(buffer_); }

 private:
  std::string buffer_ = "compile-1:";  // the version of what goes in
};

}  // namespace

std::string CompileKey(const api::RunRequest& request, int64_t max_disk_bytes) {
  KeyWriter key;
  key.Add(request.environment_hash).Add(max_disk_bytes);
  key.Add(static_cast<int64_t>(request.files.size()));
  for (const api::RunFile& file : request.files) {
    key.Add(file.path).Add(file.executable ? 1 : 0).Add(file.content);
  }
  key.Add(request.archive);
  if (!request.archive.empty()) key.Add(request.extract_limits);
  if (request.compile) {
    key.Add(request.compile->script).Add(request.compile->limits);
    key.Add(static_cast<int64_t>(request.compile->env.size()));
    for (const auto& [name, value] : request.compile->env) key.Add(name).Add(value);
  }
  return key.Hash();
}

std::shared_ptr<CompiledBox> CompileCache::Find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = index_.find(key);
  if (found == index_.end()) {
    ++stats_.misses;
    return nullptr;
  }
  ++stats_.hits;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->box;
}

void CompileCache::Insert(const std::string& key, std::shared_ptr<CompiledBox> box, int64_t bytes) {
  std::vector<std::shared_ptr<CompiledBox>> gone;  // a box's end takes time: outside the lock
  {
    const std::lock_guard lock(mutex_);
    if (max_entries_ == 0 || bytes > max_bytes_ || index_.contains(key)) return;
    entries_.push_front({key, std::move(box), bytes});
    index_[key] = entries_.begin();
    stats_.bytes += bytes;
    while (entries_.size() > max_entries_ || stats_.bytes > max_bytes_) {
      Entry& last = entries_.back();
      stats_.bytes -= last.bytes;
      ++stats_.evictions;
      index_.erase(last.key);
      gone.push_back(std::move(last.box));
      entries_.pop_back();
    }
  }
}

bool CompileCache::EvictOne() {
  std::shared_ptr<CompiledBox> gone;
  const std::lock_guard lock(mutex_);
  if (entries_.empty()) return false;
  Entry& last = entries_.back();
  stats_.bytes -= last.bytes;
  ++stats_.evictions;
  index_.erase(last.key);
  gone = std::move(last.box);
  entries_.pop_back();
  return true;
}

CompileCacheStats CompileCache::stats() const {
  const std::lock_guard lock(mutex_);
  CompileCacheStats stats = stats_;
  stats.entries = static_cast<int64_t>(entries_.size());
  return stats;
}

}  // namespace envicutor::agent

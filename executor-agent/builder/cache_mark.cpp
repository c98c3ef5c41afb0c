#include "executor-agent/builder/cache_mark.h"

#include <algorithm>
#include <set>

namespace envicutor::agent {
namespace {

class Marker {
 public:
  explicit Marker(const CacheContents& contents) {
    for (const StoredNarinfo& narinfo : contents.narinfos) {
      if (narinfo.readable) by_name_[narinfo.file.name] = &narinfo;
    }
    for (const CacheFile& nar : contents.nars) nar_sizes_["nar/" + nar.name] = nar.size_bytes;
  }

  // The narinfos of a closure that are not marked yet, in any order; what the cache does not have
  // is left out.
  [[nodiscard]] std::vector<std::string> Closure(const std::string& name) const {
    std::set<std::string> seen;
    std::vector<std::string> found;
    std::vector<std::string> todo = {name};
    while (!todo.empty()) {
      const std::string next = std::move(todo.back());
      todo.pop_back();
      const auto it = by_name_.find(next);
      if (it == by_name_.end() || marked_.contains(next) || !seen.insert(next).second) continue;
      found.push_back(next);
      for (const std::string& path : it->second->info.references) todo.push_back(NarinfoName(path));
    }
    return found;
  }

  void Mark(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      if (marked_.insert(name).second) bytes_ += SizeOf(name);
    }
  }

  [[nodiscard]] int64_t SizeOf(const std::vector<std::string>& names) const {
    int64_t total = 0;
    for (const std::string& name : names) total += SizeOf(name);
    return total;
  }

  [[nodiscard]] bool IsMarked(const std::string& name) const { return marked_.contains(name); }
  [[nodiscard]] bool HasNar(const std::string& url) const { return nar_sizes_.contains(url); }
  [[nodiscard]] int64_t bytes() const { return bytes_; }

 private:
  [[nodiscard]] int64_t SizeOf(const std::string& name) const {
    const auto it = by_name_.find(name);
    if (it == by_name_.end()) return 0;
    const auto size = nar_sizes_.find(it->second->info.url);
    return size == nar_sizes_.end() ? 0 : size->second;
  }

  std::map<std::string, const StoredNarinfo*> by_name_;
  std::map<std::string, int64_t> nar_sizes_;
  std::set<std::string> marked_;
  int64_t bytes_ = 0;
};

struct Candidate {
  const StoredPointer* pointer;
  int64_t last_used;
};

}  // namespace

Sweep DecideSweep(const CacheContents& contents, const std::map<std::string, LiveRoot>& live,
                  const MarkOptions& options) {
  const auto young = [&](const CacheFile& file) {
    return contents.now_unix - file.modified_unix_seconds < options.grace_seconds;
  };
  Sweep sweep;
  Marker marker(contents);
  for (const auto& [hash, root] : live) {
    if (root.pinned && !root.store_path.empty()) {
      marker.Mark(marker.Closure(NarinfoName(root.store_path)));
    }
  }
  for (const StoredNarinfo& narinfo : contents.narinfos) {
    if (young(narinfo.file)) marker.Mark(marker.Closure(narinfo.file.name));
  }
  std::vector<Candidate> candidates;
  for (const StoredPointer& pointer : contents.pointers) {
    const auto root = live.find(pointer.file.name);
    const bool pinned = root != live.end() && root->second.pinned;
    if (pointer.store_path.empty()) {
      // Of no use, unless it is only being written.
      if (!young(pointer.file)) sweep.pointers.push_back(pointer.file.name);
    } else if (pinned || young(pointer.file)) {
      marker.Mark(marker.Closure(NarinfoName(pointer.store_path)));
    } else {
      int64_t last_used = pointer.file.modified_unix_seconds;
      if (root != live.end()) last_used = std::max(last_used, root->second.last_used_unix);
      candidates.push_back({&pointer, last_used});
    }
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    if (a.last_used != b.last_used) return a.last_used > b.last_used;
    return a.pointer->file.name < b.pointer->file.name;
  });
  bool full = false;
  for (const Candidate& candidate : candidates) {
    const auto closure = marker.Closure(NarinfoName(candidate.pointer->store_path));
    // Whatever was used longer ago than one that does not fit goes, too.
    full = full || marker.bytes() + marker.SizeOf(closure) > options.max_bytes;
    if (full) {
      sweep.pointers.push_back(candidate.pointer->file.name);
    } else {
      marker.Mark(closure);
    }
  }

  std::set<std::string> needed;
  for (const StoredNarinfo& narinfo : contents.narinfos) {
    if (narinfo.readable) needed.insert(narinfo.info.url);
    const bool marked = marker.IsMarked(narinfo.file.name);
    const bool whole = narinfo.readable && marker.HasNar(narinfo.info.url);
    if (young(narinfo.file) || (marked && whole)) continue;
    if (marked) ++sweep.lost_nars;
    sweep.narinfos.push_back(narinfo.file.name);
  }
  for (const CacheFile& nar : contents.nars) {
    if (needed.contains("nar/" + nar.name) || young(nar)) {
      sweep.kept_bytes += nar.size_bytes;
    } else {
      sweep.nars.push_back(nar.name);
      sweep.freed_bytes += nar.size_bytes;
    }
  }
  return sweep;
}

}  // namespace envicutor::agent

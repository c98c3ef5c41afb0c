// One control group (cgroup v2), held by a descriptor of its folder: paths are recycled,
// descriptors are not.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/base/unique_fd.h"

namespace envicutor::cgroup {

// File names as the kernel's Documentation/admin-guide/cgroup-v2.rst has them.
inline constexpr char kProcs[] = "cgroup.procs";
inline constexpr char kControllers[] = "cgroup.controllers";
inline constexpr char kSubtreeControl[] = "cgroup.subtree_control";
inline constexpr char kEvents[] = "cgroup.events";
inline constexpr char kKill[] = "cgroup.kill";
inline constexpr char kFreeze[] = "cgroup.freeze";
inline constexpr char kCpuStat[] = "cpu.stat";
inline constexpr char kMemoryMax[] = "memory.max";
inline constexpr char kMemorySwapMax[] = "memory.swap.max";
inline constexpr char kMemoryPeak[] = "memory.peak";
inline constexpr char kMemoryEvents[] = "memory.events";
inline constexpr char kPidsMax[] = "pids.max";

// The value of `key` in a flat-keyed file ("key value" lines), or -1.
[[nodiscard]] int64_t FlatKeyed(std::string_view text, std::string_view key);
// True when `word` is one of the words of `text`, which white space separates.
[[nodiscard]] bool HasWord(std::string_view text, std::string_view word);

// Move-only. Const calls are thread-safe.
class Group {
 public:
  Group() = default;
  [[nodiscard]] static Result<Group> Open(const std::string& path);
  // mkdir below this one, then open. AlreadyExists when it is there.
  [[nodiscard]] Result<Group> MakeChild(const std::string& name) const;
  [[nodiscard]] Result<Group> OpenChild(const std::string& name) const;
  // NotFound when it is gone already; Unavailable when it is busy (EBUSY: try again a little
  // later).
  [[nodiscard]] Status RemoveChild(const std::string& name) const;
  [[nodiscard]] Result<std::vector<std::string>> Children() const;

  [[nodiscard]] Status Write(const char* file, std::string_view value) const;
  [[nodiscard]] Result<std::string> Read(const char* file) const;  // at most 64 KiB
  // The number in a file of one number; "max" and unreadable files are `fallback`.
  [[nodiscard]] int64_t ReadNumber(const char* file, int64_t fallback) const;
  [[nodiscard]] int64_t ReadKey(const char* file, std::string_view key) const;  // -1 when absent

  [[nodiscard]] bool Populated() const;
  // SIGKILL to every process in it and below. NotFound before Linux 5.14.
  [[nodiscard]] Status Kill() const { return Write(kKill, "1"); }

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool valid() const { return fd_.valid(); }

 private:
  explicit Group(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// Kills and removes the child `name` and everything below it, waiting for it to empty, at most
// `timeout_millis`.
[[nodiscard]] Status Destroy(const Group& parent, const std::string& name, int timeout_millis);

}  // namespace envicutor::cgroup

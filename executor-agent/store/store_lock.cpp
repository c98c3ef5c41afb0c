#include "executor-agent/store/store_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <string>
#include <thread>

#include "common/base/file.h"

namespace envicutor::agent {
namespace {

// flock has no time-out of its own.
constexpr std::chrono::milliseconds kInterval{20};

std::string FileOf(const StoreLayout& layout, StoreUse use) {
  switch (use) {
    case StoreUse::kBuild:
      return layout.LockFile();
    case StoreUse::kFetch:
      return layout.root() + "/fetch.lock";
    case StoreUse::kInstall:
      return layout.root() + "/install.lock";
  }
  return layout.LockFile();
}

Result<UniqueFd> Lock(const StoreLayout& layout, StoreUse use, int kind,
                      std::optional<std::chrono::milliseconds> patience) {
  ENVICUTOR_RETURN_IF_ERROR(MakeDirs(layout.root()));
  const std::string file = FileOf(layout, use);
  UniqueFd lock(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) return ErrnoStatus(errno, file);
  const auto deadline =
      std::chrono::steady_clock::now() + patience.value_or(std::chrono::milliseconds(0));
  while (::flock(lock.get(), patience ? kind | LOCK_NB : kind) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, file);
    if (std::chrono::steady_clock::now() >= deadline) {
      return Unavailable("another process is at work on the store (" + file + ")");
    }
    std::this_thread::sleep_for(kInterval);
  }
  return lock;
}

}  // namespace

Result<UniqueFd> LockStore(const StoreLayout& layout, StoreUse use,
                           std::optional<std::chrono::milliseconds> patience) {
  return Lock(layout, use, use == StoreUse::kFetch ? LOCK_SH : LOCK_EX, patience);
}

Result<std::pair<UniqueFd, UniqueFd>> LockForCollection(const StoreLayout& layout) {
  const std::chrono::milliseconds none{0};
  ENVICUTOR_ASSIGN(UniqueFd build, Lock(layout, StoreUse::kBuild, LOCK_EX, none));
  ENVICUTOR_ASSIGN(UniqueFd fetch, Lock(layout, StoreUse::kFetch, LOCK_EX, none));
  return std::pair<UniqueFd, UniqueFd>(std::move(build), std::move(fetch));
}

}  // namespace envicutor::agent

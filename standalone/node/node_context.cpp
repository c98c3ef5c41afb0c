#include "standalone/node/node_context.h"

namespace envicutor::standalone {
namespace {
constexpr int kFirst = 2;
constexpr int kLast = 250;
}  // namespace

std::optional<int> AddressPool::Take(int wanted) {
  const std::lock_guard lock(mutex_);
  reserved_.erase(wanted);
  if (wanted >= kFirst && wanted <= kLast && taken_.insert(wanted).second) return wanted;
  for (int index = kFirst; index <= kLast; ++index) {
    if (!reserved_.contains(index) && taken_.insert(index).second) return index;
  }
  return std::nullopt;
}

void AddressPool::Give(int index) {
  const std::lock_guard lock(mutex_);
  taken_.erase(index);
}

void AddressPool::Reserve(int index) {
  const std::lock_guard lock(mutex_);
  reserved_.insert(index);
}

void AddressPool::ForgetReserved() {
  const std::lock_guard lock(mutex_);
  reserved_.clear();
}

void LogHub::Notify() {
  const std::lock_guard lock(mutex_);
  ++writes_;
  changed_.notify_all();
}

uint64_t LogHub::WaitForNews(uint64_t seen, Duration timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] { return writes_ != seen; });
  return writes_;
}

std::string PodLogDir(const NodeContext& context, const std::string& ns, const std::string& pod,
                      const std::string& uid) {
  return context.logs_dir + "/" + ns + "_" + pod + "_" + uid;
}

}  // namespace envicutor::standalone

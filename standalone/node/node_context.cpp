#include "standalone/node/node_context.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "common/base/unique_fd.h"

namespace envicutor::standalone {
namespace {
constexpr int kFirst = 2;
constexpr int kLast = 250;
}  // namespace

std::optional<int> AddressPool::Take(int wanted, const std::function<bool(int)>& usable) {
  const std::lock_guard lock(mutex_);
  reserved_.erase(wanted);
  if (wanted >= kFirst && wanted <= kLast && taken_.insert(wanted).second) return wanted;
  for (int index = kFirst; index <= kLast; ++index) {
    if (reserved_.contains(index) || taken_.contains(index)) continue;
    if (usable && !usable(index)) continue;
    taken_.insert(index);
    return index;
  }
  return std::nullopt;
}

std::string AddressPool::Range(int subnet) {
  return Address(kFirst, subnet) + " to " + Address(kLast, subnet);
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

Status CheckPortsFree(const std::string& address, const std::vector<int>& ports) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  if (::inet_pton(AF_INET, address.c_str(), &in.sin_addr) != 1) {
    return InvalidArgument("\"" + address + "\" is not an IPv4 address");
  }
  for (const int port : ports) {
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return ErrnoStatus(errno, "socket");
    // As those who listen then do it: connections that have ended are not in the way, listeners
    // are. Bound only, it is in nobody's way itself.
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    in.sin_port = htons(static_cast<uint16_t>(port));
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&in), sizeof(in)) != 0) {
      return Unavailable(
          ErrnoStatus(errno, "port " + std::to_string(port) + " of " + address).message());
    }
  }
  return OkStatus();
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

#include "standalone/node/init/node_link.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

namespace envicutor::standalone {
namespace {

constexpr int kWatchMillis = 200;
// Leaves room in the file, which has kEventsBytes, for the event's other fields and for escapes.
constexpr size_t kMaxKeptMessage = 512;

}  // namespace

void NodeLink::WaitForGo() const {
  std::array<char, kGo.size()> said{};
  size_t length = 0;
  while (length < said.size()) {
    const ssize_t got = ::read(kControlFd, said.data() + length, said.size() - length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) ::_exit(137);
    length += static_cast<size_t>(got);
  }
}

int NodeLink::timeout() const { return open_ ? -1 : kWatchMillis; }

bool NodeLink::Terminates() {
  std::array<char, 64> buffer{};
  const ssize_t length = ::read(kControlFd, buffer.data(), buffer.size());
  if (length > 0) return true;
  if (length < 0 && (errno == EINTR || errno == EAGAIN)) return false;
  // This process is the init of its namespace: the kernel ends all others.
  if (!kept_) ::_exit(137);
  open_ = false;
  return false;
}

bool NodeLink::NodeLives() {
  struct flock lock {};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  return ::fcntl(kNodeLockFd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

void NodeLink::DropOutput() {
  int queued = 0;
  const int size = ::fcntl(kDrainFd, F_GETPIPE_SZ);
  if (size <= 0 || ::ioctl(kDrainFd, FIONREAD, &queued) != 0) return;
  std::array<char, 16384> buffer{};
  // From half full down to a quarter.
  if (queued <= size / 2) return;
  for (ssize_t left = queued - size / 4; left > 0;) {
    const ssize_t length =
        ::read(kDrainFd, buffer.data(), std::min(buffer.size(), static_cast<size_t>(left)));
    if (length <= 0) return;
    left -= length;
  }
}

void NodeLink::Watch() {
  if (open_) return;
  if (NodeLives()) {
    away_since_.reset();
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (!away_since_) away_since_ = now;
  if (now - *away_since_ > kOrphanLife) ::_exit(137);
  DropOutput();
}

void NodeLink::Report(const InitEvent& event) {
  const std::string line = InitEventToLine(event);
  size_t sent = 0;
  while (open_ && sent < line.size()) {
    const ssize_t length = ::send(kControlFd, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) break;
    sent += static_cast<size_t>(length);
  }
  if (!kept_) return;
  InitEvent shorter = event;
  if (shorter.message.size() > kMaxKeptMessage) {
    shorter.message.erase(0, shorter.message.size() - kMaxKeptMessage);
  }
  const std::string kept = InitEventToLine(shorter);
  const ssize_t length = ::pwrite(kEventsFd, kept.data(), kept.size(), written_);
  if (length > 0) written_ += length;
}

void NodeLink::ReportEnd(const InitEvent& event) {
  if (kept_ && !open_) {
    std::array<char, 16384> buffer{};
    off_t at = kEventsBytes;
    ssize_t length = 0;
    while ((length = ::read(kDrainFd, buffer.data(), buffer.size())) > 0) {
      if (::pwrite(kEventsFd, buffer.data(), static_cast<size_t>(length), at) != length) break;
      at += length;
      if (at > kEventsBytes + kMaxRest) break;
    }
  }
  Report(event);
}

}  // namespace envicutor::standalone

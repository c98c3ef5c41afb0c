#include "executor-agent/sandbox/native/stream.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace envicutor::agent::native {
namespace {

// Two ends of a pipe. Ours does not block; theirs does and belongs to the box's user.
Status OpenPipe(unsigned uid, int our_index, UniqueFd* ours, UniqueFd* theirs) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  *ours = UniqueFd(ends[static_cast<size_t>(our_index)]);
  *theirs = UniqueFd(ends[static_cast<size_t>(1 - our_index)]);
  if (::fcntl(ours->get(), F_SETFL, O_NONBLOCK) != 0 || ::fchown(theirs->get(), uid, uid) != 0) {
    return ErrnoStatus(errno, "set up a pipe");
  }
  return OkStatus();
}

}  // namespace

Status InputStream::Open(std::string_view data, unsigned uid, UniqueFd* program_end) {
  ENVICUTOR_RETURN_IF_ERROR(OpenPipe(uid, 1, &fd_, program_end));
  rest_ = data;
  Serve();  // most inputs fit into the pipe at once
  return OkStatus();
}

void InputStream::Serve() {
  while (fd_.valid()) {
    if (rest_.empty()) {
      fd_.reset();
      return;
    }
    const ssize_t wrote = ::write(fd_.get(), rest_.data(), rest_.size());
    if (wrote >= 0) {
      rest_.remove_prefix(static_cast<size_t>(wrote));
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      fd_.reset();  // EPIPE: not reading its input is a program's right
    }
  }
}

Status OutputStream::Open(size_t limit, unsigned uid, UniqueFd* program_end) {
  limit_ = limit;
  return OpenPipe(uid, 0, &fd_, program_end);
}

bool OutputStream::Read() {
  if (!fd_.valid()) return false;
  std::array<char, 1U << 16U> buffer;
  const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
  if (got < 0 && errno == EINTR) return true;
  if (got < 0 && errno == EAGAIN) return false;
  if (got <= 0) {
    fd_.reset();
    return false;
  }
  const size_t bytes = static_cast<size_t>(got);
  total_ += bytes;
  kept_.append(buffer.data(), std::min(bytes, limit_ - std::min(limit_, kept_.size())));
  return true;
}

}  // namespace envicutor::agent::native

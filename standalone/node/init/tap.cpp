#include "standalone/node/init/tap.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/base/unique_fd.h"

namespace envicutor::standalone {
namespace {

ifreq RequestFor(const std::string& name) {
  ifreq request{};
  std::copy_n(name.begin(), std::min<size_t>(name.size(), IFNAMSIZ - 1), request.ifr_name);
  return request;
}

Result<UniqueFd> ControlSocket() {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  return fd;
}

Status SetAddress(int fd, const std::string& name, unsigned long what, const std::string& address) {
  ifreq request = RequestFor(name);
  sockaddr_in in{};
  in.sin_family = AF_INET;
  if (::inet_pton(AF_INET, address.c_str(), &in.sin_addr) != 1) {
    return InvalidArgument("\"" + address + "\" is not an IPv4 address");
  }
  std::memcpy(&request.ifr_addr, &in, sizeof(in));
  if (::ioctl(fd, what, &request) != 0) return ErrnoStatus(errno, "address of " + name);
  return OkStatus();
}

}  // namespace

Status MakeTap(const std::string& name) {
  const UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open /dev/net/tun");
  ifreq request = RequestFor(name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) return ErrnoStatus(errno, "make tap " + name);
  if (::ioctl(fd.get(), TUNSETPERSIST, 1) != 0) return ErrnoStatus(errno, "keep tap " + name);
  return OkStatus();
}

Status BringUp(const std::string& name) {
  ENVICUTOR_ASSIGN(const UniqueFd fd, ControlSocket());
  ifreq request = RequestFor(name);
  if (::ioctl(fd.get(), SIOCGIFFLAGS, &request) != 0) return ErrnoStatus(errno, "flags of " + name);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP | IFF_RUNNING);
  if (::ioctl(fd.get(), SIOCSIFFLAGS, &request) != 0) return ErrnoStatus(errno, "bring up " + name);
  return OkStatus();
}

Status ConfigureInterface(const std::string& name, const std::string& address) {
  ENVICUTOR_ASSIGN(const UniqueFd fd, ControlSocket());
  ENVICUTOR_RETURN_IF_ERROR(SetAddress(fd.get(), name, SIOCSIFADDR, address));
  ENVICUTOR_RETURN_IF_ERROR(SetAddress(fd.get(), name, SIOCSIFNETMASK, "255.255.255.252"));
  return BringUp(name);
}

}  // namespace envicutor::standalone

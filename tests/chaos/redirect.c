// LD_PRELOAD for the operator: what it opens to a pod of the node (127.77.0.N) goes to the proxy that
// stands before that pod (127.78.0.N, same port).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <sys/socket.h>

int connect(int fd, const struct sockaddr* address, socklen_t length) {
  static int (*real)(int, const struct sockaddr*, socklen_t);
  if (!real) real = (int (*)(int, const struct sockaddr*, socklen_t))dlsym(RTLD_NEXT, "connect");
  struct sockaddr_in changed;
  if (address->sa_family == AF_INET && length >= sizeof changed) {
    changed = *(const struct sockaddr_in*)address;
    unsigned ip = ntohl(changed.sin_addr.s_addr);
    if (ip >> 16 == 0x7f4d && ntohs(changed.sin_port) == 8443) {
      changed.sin_addr.s_addr = htonl((ip & 0xffff) | 0x7f4e0000);
      return real(fd, (const struct sockaddr*)&changed, sizeof changed);
    }
  }
  return real(fd, address, length);
}

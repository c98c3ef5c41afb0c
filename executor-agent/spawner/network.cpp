// Network namespaces cost more than all the rest of a box: they are made once and handed on, as
// long as nothing that could be noticed later happened in them.
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "executor-agent/spawner/keyed.h"
#include "executor-agent/spawner/spawner.h"

namespace envicutor::agent::native {
namespace {

constexpr size_t kPool = 8;
Network pool[kPool];
size_t pooled = 0;
bool works = false;  // whether making one ever worked: do not try again and again when idle

Failure BringUpLoopback() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return LastError("socket for lo");
  ifreq request{};
  strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const Failure failure = ioctl(fd, SIOCSIFFLAGS, &request) == 0 ? Failure{} : LastError("lo up");
  close(fd);
  return failure;
}

void WriteSetting(const char* path, const char* value) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;  // built without it, or a read-only /proc/sys
  (void)!write(fd, value, strlen(value));
  close(fd);
}

Failure Make(Network* network) {
  const int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0) return LastError("/proc/self/ns/net");
  if (Unshare(CLONE_NEWNET) != 0) {
    const Failure failure = LastError("unshare(CLONE_NEWNET)");
    close(home);
    return failure;
  }
  Failure failure = BringUpLoopback();
  WriteSetting("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0");
  // As in containers: a web server in a box may listen on port 80; pings need no privilege.
  WriteSetting("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  network->fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  network->counters = open("/proc/self/net/dev", O_RDONLY | O_CLOEXEC);
  if (failure.error == 0 && (network->fd < 0 || network->counters < 0)) {
    failure = LastError("the new network namespace");
  }
  if (SetNs(home, CLONE_NEWNET) != 0) _exit(1);  // never serve from the wrong namespace
  close(home);
  return failure;
}

void Close(const Network& network) {
  if (network.fd >= 0) close(network.fd);
  if (network.counters >= 0) close(network.counters);
}

// Received packets of lo; -1 when unreadable.
long long Packets(const Network& network) {
  char text[4096];
  const ssize_t got = pread(network.counters, text, sizeof(text) - 1, 0);
  if (got <= 0) return -1;
  text[got] = 0;
  const char* line = strstr(text, "lo:");
  if (line == nullptr) return -1;
  // "lo: BYTES PACKETS ..."
  char* after_bytes = nullptr;
  char* after_packets = nullptr;
  strtoll(line + 3, &after_bytes, 10);
  const long long packets = strtoll(after_bytes, &after_packets, 10);
  return after_bytes == line + 3 || after_packets == after_bytes ? -1 : packets;
}

}  // namespace

Failure TakeNetwork(Network* network) {
  if (pooled > 0) {
    *network = pool[--pooled];
    return {};
  }
  *network = {};
  const Failure failure = Make(network);
  if (failure.error != 0) {
    Close(*network);
    return failure;
  }
  works = true;
  network->packets = Packets(*network);
  return {};
}

void GiveBackNetwork(const Network& network) {
  const long long packets = Packets(network);
  if (pooled == kPool || packets < 0 || packets != network.packets) {
    Close(network);
    return;
  }
  pool[pooled++] = network;
}

void RefillNetworks() {
  if (!works || pooled > 0) return;
  Network network;
  if (TakeNetwork(&network).error == 0) pool[pooled++] = network;
}

}  // namespace envicutor::agent::native

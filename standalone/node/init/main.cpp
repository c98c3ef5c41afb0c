// envicutor-pod-init: started by `envicutor node` for every container, and by the kernel of a
// User-Mode-Linux machine. Static, because the machine's first process should need nothing.
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "standalone/node/init/host_init.h"
#include "standalone/node/init/machine_guest.h"
#include "standalone/node/plan.h"

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (::getpid() == 1 && mode == "machine") envicutor::standalone::GuestInitMain();
  const bool kept = mode == envicutor::standalone::kKeptMode;
  if (::getpid() == 1 && (kept || mode == envicutor::standalone::kHostMode)) {
    return envicutor::standalone::HostInitMain(kept);
  }
  std::fputs("envicutor-pod-init is started by `envicutor node`, not by people.\n", stderr);
  return 2;
}

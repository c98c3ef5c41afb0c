// The inside of a User-Mode-Linux machine: its first process.
#pragma once

namespace envicutor::standalone {

// Mounts what the kernel does not, brings up the network, runs the plan's command in a control
// group of its own, tells the outside how it ended, powers off. Never returns.
[[noreturn]] void GuestInitMain();

}  // namespace envicutor::standalone

// System calls without errno. A box's init shares the spawner's memory (run.cpp), and with it the
// one errno of this single-threaded program: init and program code never touches it.
#pragma once

#include <errno.h>
#include <linux/sched.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace envicutor::agent::native {

// The result, or -errno.
template <typename... Arguments>
[[nodiscard]] inline long Sys(long number, Arguments... arguments) {
#if defined(__x86_64__)
  [[maybe_unused]] const auto word = [](auto value) {
    return (long)value;  // a pointer or a number
  };
  const long words[6] = {word(arguments)...};
  register long r10 asm("r10") = words[3];
  register long r8 asm("r8") = words[4];
  register long r9 asm("r9") = words[5];
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "0"(number), "D"(words[0]), "S"(words[1]), "d"(words[2]), "r"(r10), "r"(r8),
                 "r"(r9)
               : "rcx", "r11", "memory");
  return result;
#else
  const long result = syscall(number, arguments...);
  return result < 0 ? -errno : result;
#endif
}

// clone3 of a child that runs `body` on the stack [stack, stack + size) and never returns from it.
// With CLONE_VM in the flags it shares all memory with us; elsewhere than on x86-64 it gets a copy
// all the same, which is slower and otherwise no different. The child's pid, or -errno.
// `key`: keyed.h.
[[nodiscard]] inline long CloneOnto(clone_args* args, void* stack, size_t size, void (*body)(void*),
                                    void* argument, uint64_t key) {
#if defined(__x86_64__)
  args->stack = reinterpret_cast<__u64>(stack);
  args->stack_size = size;
  // Kept by the kernel over the call, as all registers but three are.
  register void (*r12)(void*) asm("r12") = body;
  register void* r13 asm("r13") = argument;
  register uint64_t r9 asm("r9") = key;
  long result;
  asm volatile(
      "syscall\n\t"
      "testq %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xorl %%ebp, %%ebp\n\t"
      "movq %%r13, %%rdi\n\t"
      "callq *%%r12\n\t"
      "ud2\n"
      "1:"
      : "=a"(result)
      : "0"(SYS_clone3), "D"(args), "S"(sizeof(*args)), "r"(r12), "r"(r13), "r"(r9)
      : "rcx", "r11", "memory", "cc");
  return result;
#else
  (void)stack;
  (void)size;
  args->flags &= ~static_cast<__u64>(CLONE_VM | CLONE_VFORK);
  const long result = syscall(SYS_clone3, args, sizeof(*args), 0, 0, 0, key);
  if (result == 0) body(argument);
  return result < 0 ? -errno : result;
#endif
}

}  // namespace envicutor::agent::native

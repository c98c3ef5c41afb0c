/* Ordinary and extraordinary programs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

static long long number(char** args, int i) { return atoll(args[i]); }

static int do_exit(char** args) { return (int)number(args, 0); }

static int do_signal(char** args) {
  signal((int)number(args, 0), SIG_DFL);
  raise((int)number(args, 0));
  return 0;
}

static int do_abort(char** args) {
  (void)args;
  abort();
}

static int do_spin(char** args) {
  (void)args;
  for (volatile long i = 0;; ++i) {
  }
}

static long long cpu_millis(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Of its own: a process's clock goes on over execve, and what was before is not the program's. */
static int do_burn(char** args) {
  long long begin = cpu_millis();
  while (cpu_millis() - begin < number(args, 0)) {
  }
  return 0;
}

/* clock-at-start MILLIS: the clock of the process at its start, in microseconds: what was spent in
   it before execve. Then burns. */
static int do_clock_at_start(char** args) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  printf("%lld\n", t.tv_sec * 1000000LL + t.tv_nsec / 1000);
  return do_burn(args);
}

/* The same amount of work each time, about 100 ms of it, over a megabyte of memory. */
static int do_work(char** args) {
  (void)args;
  static unsigned table[1 << 18];
  unsigned x = 1;
  for (long i = 0; i < 20000000; ++i) {
    x = x * 1664525U + 1013904223U;
    table[x >> 14] += x;
  }
  printf("%u\n", table[1]);
  return 0;
}

/* How many CPUs it may use, and whether it may change that. */
static int do_cpus(char** args) {
  (void)args;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set)) return 1;
  int before = CPU_COUNT(&set);
  memset(&set, 255, sizeof set);
  (void)!sched_setaffinity(0, sizeof set, &set);
  if (sched_getaffinity(0, sizeof set, &set)) return 1;
  printf("%d %d\n", before, CPU_COUNT(&set));
  return 0;
}

/* memfd BYTES: memory that is a file without a place. */
static int do_memfd(char** args) {
  int fd = memfd_create("x", 0);
  static char block[1 << 16];
  memset(block, 7, sizeof block);
  long long done = 0;
  while (done < number(args, 0)) {
    ssize_t wrote = write(fd, block, sizeof block);
    if (wrote <= 0) break;
    done += wrote;
  }
  printf("%lld\n", done);
  return 0;
}

/* sysv-memory BYTES: touched, and left behind. */
static int do_sysv_memory(char** args) {
  int id = shmget(IPC_PRIVATE, (size_t)number(args, 0), IPC_CREAT | 0600);
  char* memory = id < 0 ? (void*)-1 : shmat(id, NULL, 0);
  if (memory == (void*)-1) {
    puts("refused");
    return 0;
  }
  memset(memory, 7, (size_t)number(args, 0));
  puts("filled");
  return 0;
}

/* unlinked FILE BYTES: a file that no folder names any more. Prints how much went in. */
static int do_unlinked(char** args) {
  int fd = open(args[0], O_WRONLY | O_CREAT, 0644);
  unlink(args[0]);
  static char block[1 << 16];
  long long done = 0;
  while (done < number(args, 1)) {
    ssize_t wrote = write(fd, block, sizeof block);
    if (wrote <= 0) break;
    done += wrote;
  }
  printf("%lld\n", done);
  return 0;
}

/* grow FILE: leaves a daemon that appends for ever. */
static int do_grow(char** args) {
  int ready[2];
  if (pipe(ready)) return 1;
  if (fork() == 0) {
    setsid();
    int fd = open(args[0], O_WRONLY | O_CREAT | O_APPEND, 0644);
    for (int i = 0;; ++i) {
      (void)!write(fd, "0123456789abcdef", 16);
      if (i == 0) (void)!write(ready[1], "x", 1);
      usleep(100);
    }
  }
  char byte;
  return read(ready[0], &byte, 1) == 1 ? 0 : 1;
}

/* CPU time in children counts too. */
static int do_burn_children(char** args) {
  long long each = number(args, 1);
  for (long long i = 0; i < number(args, 0); ++i) {
    if (fork() == 0) {
      while (cpu_millis() < each) {
      }
      _exit(0);
    }
  }
  while (wait(NULL) > 0) {
  }
  return 0;
}

static int do_sleep(char** args) {
  struct timespec t = {number(args, 0) / 1000, number(args, 0) % 1000 * 1000000};
  nanosleep(&t, NULL);
  return 0;
}

static int fill(size_t bytes) {
  volatile char* memory = malloc(bytes); /* volatile: or the compiler leaves it all out */
  if (!memory) return 1;
  for (size_t i = 0; i < bytes; i += 4096) memory[i] = 1;
  return 0;
}

static int do_memory(char** args) {
  if (fill((size_t)number(args, 0))) return 3;
  puts("ok");
  return 0;
}

static int do_untouched(char** args) {
  puts(malloc((size_t)number(args, 0)) ? "got it" : "refused");
  return 0;
}

/* N children with BYTES each, all alive at once; exits 0 whatever became of them. */
static int do_memory_children(char** args) {
  int go[2], ready[2];
  if (pipe(go) || pipe(ready)) return 1;
  int children = 0, over = 0, killed = 0, status;
  for (; children < number(args, 0); ++children) {
    if (fork()) continue;
    close(go[1]);
    char byte = 0;
    if (fill((size_t)number(args, 1)) || write(ready[1], &byte, 1) != 1) _exit(1);
    _exit(read(go[0], &byte, 1) != 0); /* holds it until all are over */
  }
  fcntl(ready[0], F_SETFL, O_NONBLOCK);
  while (over < children) {
    char byte;
    while (over < children && read(ready[0], &byte, 1) == 1) ++over;
    while (waitpid(-1, &status, WNOHANG) > 0) {
      killed += WIFSIGNALED(status);
      ++over;
    }
    usleep(1000);
  }
  while (args[2]) pause(); /* for who looks only now and then */
  close(go[1]);
  while (wait(&status) > 0) killed += WIFSIGNALED(status);
  puts(killed ? "killed" : "all lived");
  return 0;
}

static int do_forks(char** args) {
  long long made = 0;
  while (made < number(args, 0)) {
    pid_t pid = fork();
    if (pid < 0) break;
    if (pid == 0) {
      pause();
      _exit(0);
    }
    ++made;
  }
  printf("%lld\n", made);
  return 0;
}

static void* sleeper(void* unused) {
  pause();
  return unused;
}

static int do_threads(char** args) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  long long made = 0;
  pthread_t thread;
  while (made < number(args, 0) && !pthread_create(&thread, &attributes, sleeper, NULL)) ++made;
  printf("%lld\n", made);
  fflush(stdout);
  _exit(0);
}

/* fork bombs for ever; the time limit ends them. */
static int do_fork_bomb(char** args) {
  (void)args;
  for (;;) fork();
}

static void* thread_bomb(void* unused) {
  pthread_t thread;
  for (;;) pthread_create(&thread, NULL, thread_bomb, NULL);
  return unused;
}

static int do_thread_bomb(char** args) {
  (void)args;
  thread_bomb(NULL);
  return 0;
}

static int do_open_files(char** args) {
  (void)args;
  int n = 0;
  while (open("/dev/null", O_RDONLY) >= 0) ++n;
  printf("%d %d\n", n, errno);
  return 0;
}

static int write_bytes(int fd, long long bytes) {
  static char buffer[65536];
  memset(buffer, 'x', sizeof buffer);
  long long done = 0;
  while (done < bytes) {
    size_t want = bytes - done < (long long)sizeof buffer ? (size_t)(bytes - done) : sizeof buffer;
    ssize_t wrote = write(fd, buffer, want);
    if (wrote <= 0) {
      printf("%lld %d\n", done, errno);
      return 1;
    }
    done += wrote;
  }
  printf("%lld 0\n", done);
  return 0;
}

/* write PATH BYTES: prints how much went and errno */
static int do_write(char** args) {
  signal(SIGXFSZ, args[2] ? SIG_DFL : SIG_IGN);
  int fd = open(args[0], O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (fd < 0) {
    printf("-1 %d\n", errno);
    return 1;
  }
  return write_bytes(fd, number(args, 1));
}

static int do_write_and_wait(char** args) {
  if (do_write(args)) return 1;
  for (;;) pause();
}

static int raw_output(int fd, long long bytes) {
  char buffer[4096];
  memset(buffer, 'x', sizeof buffer);
  while (bytes > 0) {
    ssize_t wrote = write(fd, buffer, bytes < 4096 ? (size_t)bytes : 4096);
    if (wrote <= 0) return 1;
    bytes -= wrote;
  }
  return 0;
}

static int do_stdout(char** args) { return raw_output(1, number(args, 0)); }
static int do_stderr(char** args) { return raw_output(2, number(args, 0)); }

static int do_flood(char** args) {
  (void)args;
  for (;;) raw_output(1, 1 << 20);
}

/* Both directions at once, more than any pipe holds. */
static int do_echo(char** args) {
  (void)args;
  char buffer[8192];
  ssize_t got;
  while ((got = read(0, buffer, sizeof buffer)) > 0)
    for (ssize_t done = 0, wrote; done < got; done += wrote)
      if ((wrote = write(1, buffer + done, (size_t)(got - done))) <= 0) return 1;
  return 0;
}

/* Writes BYTES before it reads anything. */
static int do_write_then_read(char** args) {
  if (raw_output(1, number(args, 0))) return 1;
  char buffer[8192];
  while (read(0, buffer, sizeof buffer) > 0) {
  }
  return 0;
}

static int do_binary(char** args) {
  (void)args;
  for (int i = 0; i < 256; ++i) putchar(i);
  return 0;
}

/* A daemon in another session that holds the pipes; the program itself exits 0. */
static int do_daemon(char** args) {
  (void)args;
  if (fork() == 0) {
    setsid();
    if (fork() == 0)
      for (;;) pause();
    _exit(0);
  }
  wait(NULL);
  puts("left");
  return 0;
}

static int do_close_outputs(char** args) {
  if (write(1, "x\n", 2) != 2) return 1;
  close(1);
  close(2);
  usleep((useconds_t)number(args, 0) * 1000);
  return 3;
}

static int do_ignore_signals(char** args) {
  (void)args;
  for (int s = 1; s < 65; ++s) signal(s, SIG_IGN);
  for (;;) pause();
}

static int do_stop(char** args) {
  (void)args;
  if (fork() == 0)
    for (;;) pause();
  kill(-1, SIGSTOP);
  raise(SIGSTOP);
  for (;;) pause();
}

static int recurse(int n) {
  volatile char a[1024];
  a[0] = (char)n;
  return recurse(n + 1) + a[0];
}

static int do_recurse(char** args) {
  (void)args;
  return recurse(0);
}

static int do_stack(char** args) {
  volatile char memory[number(args, 0)];
  for (long long i = 0; i < number(args, 0); i += 4096) memory[i] = 1;
  puts("ok");
  return memory[0] - 1;
}

/* Empty files until it fails: prints errno. */
static int do_inodes(char** args) {
  char name[64];
  for (long i = 0; i < 10000000; ++i) {
    snprintf(name, sizeof name, "%s/%ld", args[0], i);
    int fd = open(name, O_WRONLY | O_CREAT, 0644);
    if (fd < 0) {
      printf("%d\n", errno);
      return 0;
    }
    close(fd);
  }
  puts("no end");
  return 0;
}

/* Folders in folders, N deep. */
static int do_deep(char** args) {
  if (chdir(args[0])) return 1;
  for (long long i = 0; i < number(args, 1); ++i)
    if (mkdir("d", 0755) || chdir("d")) return 2;
  puts("deep");
  return 0;
}

static int do_descriptors(char** args) {
  (void)args;
  int n = 0;
  for (int fd = 3; fd < 4096; ++fd)
    if (fcntl(fd, F_GETFD) != -1) ++n;
  printf("%d\n", n);
  return 0;
}

static int do_limits(char** args) {
  (void)args;
  struct rlimit core, files, size, stack;
  getrlimit(RLIMIT_CORE, &core);
  getrlimit(RLIMIT_NOFILE, &files);
  getrlimit(RLIMIT_FSIZE, &size);
  getrlimit(RLIMIT_STACK, &stack);
  printf("%lld %lld %lld %lld\n", (long long)core.rlim_max, (long long)files.rlim_max,
         (long long)size.rlim_max, (long long)stack.rlim_max);
  return 0;
}

const struct command behaviours[] = {{"exit", do_exit},
                                     {"signal", do_signal},
                                     {"abort", do_abort},
                                     {"spin", do_spin},
                                     {"burn", do_burn},
                                     {"clock-at-start", do_clock_at_start},
                                     {"work", do_work},
                                     {"cpus", do_cpus},
                                     {"memfd", do_memfd},
                                     {"sysv-memory", do_sysv_memory},
                                     {"unlinked", do_unlinked},
                                     {"grow", do_grow},
                                     {"burn-children", do_burn_children},
                                     {"sleep", do_sleep},
                                     {"memory", do_memory},
                                     {"untouched", do_untouched},
                                     {"memory-children", do_memory_children},
                                     {"forks", do_forks},
                                     {"threads", do_threads},
                                     {"fork-bomb", do_fork_bomb},
                                     {"thread-bomb", do_thread_bomb},
                                     {"open-files", do_open_files},
                                     {"write", do_write},
                                     {"write-and-wait", do_write_and_wait},
                                     {"stdout", do_stdout},
                                     {"stderr", do_stderr},
                                     {"flood", do_flood},
                                     {"echo", do_echo},
                                     {"write-then-read", do_write_then_read},
                                     {"binary", do_binary},
                                     {"daemon", do_daemon},
                                     {"close-outputs", do_close_outputs},
                                     {"ignore-signals", do_ignore_signals},
                                     {"stop", do_stop},
                                     {"recurse", do_recurse},
                                     {"stack", do_stack},
                                     {"inodes", do_inodes},
                                     {"deep", do_deep},
                                     {"descriptors", do_descriptors},
                                     {"limits", do_limits},
                                     {NULL, NULL}};

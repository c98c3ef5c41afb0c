#define _GNU_SOURCE
#include "probe.h"

#include <stdio.h>
#include <string.h>

static int try_all(const struct command* table, char** argv) {
  for (const struct command* c = table; c->name; ++c)
    if (!strcmp(c->name, argv[1])) return c->run(argv + 2);
  return -1;
}

int main(int argc, char** argv) {
  if (argc < 2) return 0; /* as cheap as a program can be */
  int result = try_all(behaviours, argv);
  if (result < 0) result = try_all(attacks, argv);
  if (result < 0) result = try_all(powers, argv);
  if (result < 0) fprintf(stderr, "probe: no command %s\n", argv[1]);
  return result < 0 ? 99 : result;
}

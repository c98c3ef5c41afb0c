/* What the conformance suite makes a program do: `probe COMMAND ARG...`. */
#ifndef ENVICUTOR_PROBE_H
#define ENVICUTOR_PROBE_H

struct command {
  const char* name;
  int (*run)(char** args); /* args end with NULL */
};
extern const struct command behaviours[]; /* end with a NULL name */
extern const struct command attacks[];
extern const struct command powers[];

#endif

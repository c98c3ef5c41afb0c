#include "standalone/cli/cli.h"

int main(int argc, char** argv) { return envicutor::standalone::CliMain(argc, argv); }

// envicutor-extract: unpacks the .zip or .tar.gz on its standard input into the current folder.
// Runs inside the box, as the box's user, within the stage's limits: what it is given is hostile.
// Exit codes: extractor.h.
#include <langinfo.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "executor-agent/extract/extractor.h"

// libarchive converts names to the locale's character set, and a box has no locale. This (instead
// of the C library's) makes it take UTF-8 names, and any other bytes, as they are.
extern "C" char* nl_langinfo(nl_item item) noexcept {
  static char utf8[] = "UTF-8";
  static char none[] = "";
  return item == CODESET ? utf8 : none;
}

int main() {
  // Too big a file is then an error (EFBIG) that can be explained.
  std::signal(SIGXFSZ, SIG_IGN);
  std::string message;
  const int code = envicutor::extract::ExtractHere(0, &message);
  if (code != 0) {
    message = "extract: " + message + "\n";
    (void)!::write(2, message.data(), message.size());
  }
  return code;
}

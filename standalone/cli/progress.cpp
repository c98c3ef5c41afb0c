#include "standalone/cli/progress.h"

#include <unistd.h>

#include <cstdio>

namespace envicutor::standalone {

Progress::Progress(const Clock& clock) : clock_(clock), terminal_(::isatty(1) != 0) {}

void Progress::Step(const std::string& what) {
  Done();
  open_ = true;
  step_ = what;
  started_ = clock_.Now();
  if (terminal_) {
    std::printf("  … %s", what.c_str());
    std::fflush(stdout);
  }
}

void Progress::Detail(const std::string& text) {
  if (!terminal_ || !open_) return;
  std::printf("\r\033[K  … %s (%s)", step_.c_str(), text.c_str());
  std::fflush(stdout);
}

void Progress::End(const char* mark) {
  if (!open_) return;
  open_ = false;
  const double seconds = std::chrono::duration<double>(clock_.Now() - started_).count();
  std::printf("%s  %s %s (%.1f s)\n", terminal_ ? "\r\033[K" : "", mark, step_.c_str(), seconds);
  std::fflush(stdout);
}

void Progress::Done() { End("✓"); }

void Progress::Failed(const std::string& why) {
  End("✗");
  std::printf("error: %s\n", why.c_str());
  std::fflush(stdout);
}

void Progress::Note(const std::string& text) {
  if (terminal_ && open_) std::printf("\r\033[K");
  std::printf("    %s\n", text.c_str());
  std::fflush(stdout);
}

}  // namespace envicutor::standalone

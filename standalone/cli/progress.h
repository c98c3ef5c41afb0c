// Steps of a longer command, told as they happen: a line each on a terminal, and as good in a file.
#pragma once

#include <string>

#include "common/base/clock.h"

namespace envicutor::standalone {

// Not thread-safe. Writes to stdout.
class Progress {
 public:
  explicit Progress(const Clock& clock);
  // Ends the step before, in order.
  void Step(const std::string& what);
  // A word about the running step; on a terminal it replaces the one before.
  void Detail(const std::string& text);
  void Done();
  void Failed(const std::string& why);
  void Note(const std::string& text);

 private:
  void End(const char* mark);
  const Clock& clock_;
  bool terminal_;
  bool open_ = false;
  std::string step_;
  SteadyTime started_;
};

}  // namespace envicutor::standalone

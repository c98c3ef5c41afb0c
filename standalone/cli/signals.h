// SIGINT and SIGTERM as a stop token, for commands that run until they are told to end.
#pragma once

#include <stop_token>
#include <thread>

namespace envicutor::standalone {

// Make it before any other thread, so that all threads have the signals blocked.
class SignalStop {
 public:
  SignalStop();
  ~SignalStop();
  SignalStop(const SignalStop&) = delete;
  SignalStop& operator=(const SignalStop&) = delete;
  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }
  // Blocks until a signal came.
  void Wait();

 private:
  std::stop_source source_;
  int wake_;
  std::jthread thread_;
};

}  // namespace envicutor::standalone

// One stage of a box of the native engine: sets it up, watches over it, says what happened.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "executor-agent/sandbox/native/budget.h"
#include "executor-agent/sandbox/native/engine.h"
#include "executor-agent/sandbox/native/stream.h"

namespace envicutor::agent::native {

struct StageBox {
  Engine* engine;
  uint64_t generation;
  uint64_t id;
  uint64_t environment;
  unsigned uid;
  int top;  // the box's tmpfs
};

[[nodiscard]] StageOutcome SandboxError(std::string error);

// Used once, by one thread: Start, then Supervise.
class Stage {
 public:
  // `program_fd` is executed instead of argv[0] unless it is -1; `stdin_file`, when valid, is the
  // program's stdin instead of spec.stdin_data. `spec` outlives this.
  Stage(const StageBox& box, const StageSpec& spec, int program_fd, UniqueFd stdin_file);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  // InvalidArgument: argv or env cannot be given to a program (see NotExecutable); Unavailable: the
  // spawner is gone, nothing ran.
  [[nodiscard]] Status Start();
  [[nodiscard]] UniqueFd TakeStdinFile() { return std::move(stdin_file_); }
  // Returns when every process of the stage is dead.
  [[nodiscard]] StageOutcome Supervise(const std::stop_token& stop);
  // What a shell does with a program that cannot be executed: exit code 126 and a message on
  // stderr.
  [[nodiscard]] StageOutcome NotExecutable(const Status& why) const;

 private:
  using Killed = StageOutcome::Killed;

  [[nodiscard]] Status SetLimits();
  [[nodiscard]] Status MakeStreams();
  [[nodiscard]] Status AskSpawner();
  [[nodiscard]] int64_t Value(api::Limit limit) const { return spec_.limits.Value(limit); }

  void Loop(int stop_event);
  void ReadEvents();
  void ReadOutput(OutputStream* stream, const char* limit);
  void CheckTime(int64_t now_nanos);
  void LookDegraded(int64_t now_nanos);
  [[nodiscard]] int64_t DiskUsed() const;
  [[nodiscard]] int64_t NextLookNanos(int64_t now_nanos) const;
  void Kill(Killed why, std::string_view limit);
  void KillAll() const;
  void AwaitDeath();
  void Finish();
  [[nodiscard]] int64_t CpuUsedMicros() const;

  const StageBox box_;
  const StageSpec& spec_;
  const int program_fd_;
  UniqueFd stdin_file_;

  cgroup::StageGroup group_;
  int cpu_ = -1;    // the program's own, or -1
  UniqueFd pidfd_;  // of the init; from kStarting on
  UniqueFd control_;
  InputStream stdin_;
  OutputStream stdout_;
  OutputStream stderr_;
  // Ends that the program gets; closed here once it has them.
  UniqueFd child_stdin_, child_stdout_, child_stderr_, child_control_;

  Budget budget_;
  int64_t begin_nanos_ = 0;             // when Supervise began
  std::optional<int64_t> start_nanos_;  // just before exec
  // Whether events wake the loop. That the program starts is no reason to: who starts, fails to, or
  // ends also closes or writes its output, and until then there is nothing to do but wait.
  bool listening_ = false;
  int64_t next_cpu_look_nanos_ = 0;  // before it the CPU budget cannot be used up; 0: not known
  std::optional<int64_t> exit_nanos_;
  int64_t setup_cpu_micros_ =
      0;                         // of the box's init and the program before exec: not the program's
  int64_t init_cpu_micros_ = 0;  // of the init since
  int wait_status_ = 0;
  bool empty_ = false;  // nothing but the init is left
  bool dead_ = false;   // the init is dead, too, or never was
  // Without the controllers:
  int64_t reaped_cpu_micros_ = 0;  // of all that the init reaped
  int64_t tree_cpu_micros_ = 0;    // of what /proc showed
  int64_t disk_before_ = 0;
  int64_t degraded_peak_bytes_ = 0;
  int64_t degraded_look_nanos_ = 0;
  StageOutcome outcome_;
};

}  // namespace envicutor::agent::native

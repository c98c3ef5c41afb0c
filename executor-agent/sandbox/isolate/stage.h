// One stage of a box of the isolate engine: one `isolate --run`, watched over with deadlines of our
// own, because isolate looks at its limits only every 100 ms.
#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "executor-agent/cgroup/group.h"
#include "executor-agent/sandbox/isolate/engine.h"
#include "executor-agent/sandbox/isolate/meta.h"
#include "executor-agent/sandbox/native/budget.h"
#include "executor-agent/sandbox/native/stream.h"

namespace envicutor::agent::isolate {

inline constexpr char kExtractor[] = "/envicutor/envicutor-extract";

struct StageBox {
  Engine* engine;
  unsigned id;
  int top;  // the box's tmpfs
  std::string view_dir;
  bool extract;  // the extractor is bound into the box
};

[[nodiscard]] StageOutcome SandboxError(std::string error);
// What a shell does with a program that cannot be executed: exit code 126 and a message on stderr.
[[nodiscard]] StageOutcome NotExecutable(const Status& why);

// Used once, by one thread: Start, then Supervise.
class Stage {
 public:
  // `stdin_file`, when valid, is the program's stdin instead of spec.stdin_data. `spec` outlives
  // this. `group` is the box's, unused so far.
  Stage(StageBox box, const StageSpec& spec, cgroup::Group group, UniqueFd stdin_file);
  ~Stage();
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  // InvalidArgument: argv or env cannot be given to a program (see NotExecutable).
  [[nodiscard]] Status Start();
  // Returns when every process of the stage is dead.
  [[nodiscard]] StageOutcome Supervise(const std::stop_token& stop);

 private:
  using Killed = StageOutcome::Killed;
  // How long a program is held at most, and how often is looked whether it can go.
  static constexpr int64_t kHoldNanos = 2'000'000'000;
  static constexpr int64_t kHoldLookNanos = 200'000;

  [[nodiscard]] int64_t Value(api::Limit limit) const { return spec_.limits.Value(limit); }
  [[nodiscard]] std::vector<std::string> Arguments(std::vector<std::string>* env) const;
  void AddEnvironment(std::vector<std::string>* args, std::vector<std::string>* env) const;

  void Loop(int stop_event);
  void NoticeStart();
  void Freeze();                         // freeze.cpp
  void ThawWhenSafe(int64_t now_nanos);  // begins the program's time
  void ReadOutput(native::OutputStream* stream, const char* limit);
  void CheckTime(int64_t now_nanos);
  [[nodiscard]] int64_t NextLookNanos(int64_t now_nanos) const;
  [[nodiscard]] int64_t CpuUsedMicros() const;
  void Kill(Killed why, std::string_view limit);
  void AwaitDeath();
  void Measure();
  void Finish();
  void Judge(const Meta& meta);
  void TellExecFailures();
  void Fail(std::string error);

  const StageBox box_;
  const StageSpec& spec_;
  const cgroup::Group group_;
  UniqueFd stdin_file_;

  UniqueFd events_;  // cgroup.events
  UniqueFd pidfd_;   // isolate's keeper
  native::InputStream stdin_;
  native::OutputStream stdout_;
  native::OutputStream stderr_;

  int cpu_ = -1;  // the program's own, or -1
  native::Budget budget_;
  bool frozen_ = false;
  pid_t keeper_ = -1;                       // isolate's, once it was looked up
  int64_t begin_nanos_ = 0;                 // when isolate was started
  std::optional<int64_t> populated_nanos_;  // when the first process was seen in the box
  std::optional<int64_t> start_nanos_;      // when it could run
  std::optional<int64_t> end_nanos_;        // when isolate had ended
  int wait_status_ = 0;                     // isolate's
  StageOutcome outcome_;
};

}  // namespace envicutor::agent::isolate

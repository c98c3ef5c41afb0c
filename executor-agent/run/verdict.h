// Judging: what happened (StageOutcome) against what was allowed (Limits). Pure functions; the
// rules are docs/api.md's ("Unusual ends") and nowhere else.
//
// The first limit that was passed names the verdict: a program over cpuTime that goes on to
// extraTime is TO whatever ends it afterwards.
#pragma once

#include <string>

#include "common/api/run.h"
#include "executor-agent/sandbox/sandbox.h"

namespace envicutor::agent {

// A stage as docs/api.md reports it. Takes the outcome by value: its output is moved.
[[nodiscard]] api::StageResult JudgeStage(StageOutcome outcome, const api::Limits& limits);

// The verdict of a run stage, before its output is compared.
[[nodiscard]] api::Verdict VerdictOfRun(api::ExitStatus status);
// kNone when the stage was OK, else CompileError (ExtractError), or InternalError for a sandbox
// error.
[[nodiscard]] api::Verdict VerdictOfCompile(api::ExitStatus status);
[[nodiscard]] api::Verdict VerdictOfExtract(api::ExitStatus status);

// "the program used more CPU time than its limit of 2s": status.message for one stage. `who` is
// "the program", "the compiler", "test \"a\"".
[[nodiscard]] std::string DescribeStage(std::string_view who, const api::StageResult& stage,
                                        const api::Limits& limits);

// "SIGKILL" for 9, "" for numbers without a name.
[[nodiscard]] std::string_view SignalName(int signal);

}  // namespace envicutor::agent

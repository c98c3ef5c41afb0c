// What people are told about a submission beside its status: log lines, and Events.
//
// A short submission that did what it was asked for has no Events: its status tells all, in the one
// write that it costs. Events are for what somebody would ask about: a wait and what it waits for,
// a run of more than a second, a lost executor, every failure; and then the end, so that `kubectl
// describe` tells the story from start to finish. Normal Events of all submissions share a rate;
// those over it are left out.
#pragma once

#include <string>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/kube/recorder.h"
#include "operator/controllers/submission_status.h"
#include "operator/controllers/write_budget.h"

namespace envicutor::op {

// namespace, name, uid, attempt, traceId of a Submission.
[[nodiscard]] log::Context LogContextOf(const Json& submission, int64_t attempt);

// Thread-safe. `told` is the submission's own: the last thing it was told, "" at first.
class SubmissionStory {
 public:
  // `events` may be nullptr: no Events then.
  SubmissionStory(kube::EventRecorder* events, const Clock& clock);

  // It has waited for more than a moment, for `reason` (as in status). True: told.
  bool Waits(const Json& submission, const std::string& told, const std::string& reason,
             const std::string& message);
  // It has been on an executor for more than a moment. True: told.
  bool Runs(const Json& submission, int64_t attempt, const RunPlacement& placement);
  void Retries(const Json& submission, int64_t attempt, const std::string& why);
  void Ended(const Json& submission, const std::string& told, const Outcome& outcome);

 private:
  bool Normal(const Json& submission, const std::string& reason, const std::string& message);
  void Warning(const Json& submission, const std::string& reason, const std::string& message);

  kube::EventRecorder* events_;
  const Clock& clock_;
  WriteBudget budget_;
};

}  // namespace envicutor::op

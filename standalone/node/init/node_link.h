// What a pod's init has of its node: the node that started it, later none, or one that took the pod
// over.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>

#include "standalone/node/plan.h"

namespace envicutor::standalone {

// A pod whose node is gone for this long ends itself: nothing would ever ask for it again.
inline constexpr std::chrono::minutes kOrphanLife{10};

// Not thread-safe. Descriptors as plan.h says.
class NodeLink {
 public:
  // `kept`: the pod outlives its node, and another may take it over. Else it ends with its node.
  explicit NodeLink(bool kept) : kept_(kept) {}

  // Blocks until the node has written down which process this is. Ends this process, and so the
  // pod, when the node went before that.
  void WaitForGo() const;

  // To poll for reading; -1 when the node that started this process is gone.
  [[nodiscard]] int fd() const { return open_ ? kControlFd : -1; }
  // For poll: milliseconds until Watch is due, -1 for never.
  [[nodiscard]] int timeout() const;
  // fd() is readable. True: the command is to be terminated. Ends the pod when the node is gone and
  // the pod is not kept.
  [[nodiscard]] bool Terminates();
  // While no node is there: keeps the output's pipe from filling, as the command would block, by
  // dropping what is oldest; after kOrphanLife ends the pod. To be called after each poll.
  void Watch();

  // To the node that started this process, and to the file that outlives it.
  void Report(const InitEvent& event);
  // The same, of the end: what is still in the output's pipe goes to the file too, unless the node
  // that started this process is there to read it.
  void ReportEnd(const InitEvent& event);

 private:
  [[nodiscard]] static bool NodeLives();
  static void DropOutput();

  bool kept_;
  bool open_ = true;
  std::optional<std::chrono::steady_clock::time_point> away_since_;
  off_t written_ = 0;
};

}  // namespace envicutor::standalone

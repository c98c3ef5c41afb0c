// Feeds all open watches from the store's history on one thread. A watch is a cursor: it costs
// nothing while its resource does not change, and one that cannot keep up is cut off by its
// ResponseWriter's backlog, or gets 410 when the history has moved on.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "common/http/server.h"
#include "standalone/apiserver/core/api.h"
#include "standalone/apiserver/http/output.h"

namespace envicutor::standalone {

struct WatchRequest {
  ResourcePtr resource;
  std::string ns;  // "": all
  LabelSelector labels;
  FieldSelector fields;
  OutputOptions output;
  uint64_t revision = 0;  // changes after this one
  bool bookmarks = false;
  SteadyTime deadline;
  bool columns_sent = false;  // tables: the first event has been written already
};

// Thread-safe.
class WatchHub {
 public:
  WatchHub(Api* api, std::chrono::seconds bookmark_period);
  ~WatchHub();  // ends all watches
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // Takes over a stream that has been started.
  void Add(WatchRequest request, std::shared_ptr<http::ResponseWriter> writer);
  // The store has published something, or a client went away.
  void Wake();
  void Stop();

 private:
  struct Watch {
    WatchRequest request;
    std::shared_ptr<http::ResponseWriter> writer;
    std::shared_ptr<std::atomic<bool>> closed;
    SteadyTime next_bookmark;
    uint64_t registry_generation = 0;  // that its kind was last looked up in
  };

  void Run();
  // False: the watch is over.
  [[nodiscard]] bool Advance(Watch* watch, SteadyTime now);
  [[nodiscard]] bool Send(Watch* watch, const Change& change);

  Api* api_;
  std::chrono::seconds bookmark_period_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Watch> added_;
  bool woken_ = false;
  bool stopping_ = false;
  std::list<Watch> watches_;  // the thread's own
  std::thread thread_;
};

}  // namespace envicutor::standalone

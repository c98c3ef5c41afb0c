// Internal to the server: the outgoing half of one connection, as the handlers' threads see it. It
// is the only part of a connection that is shared between threads; everything else lives on its
// strand.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/http/server.h"

namespace envicutor::http {

class Exchange {
 public:
  explicit Exchange(size_t max_backlog) : max_backlog_(max_backlog) {}

  struct Begin {
    bool head = false;    // a HEAD request: headers only
    bool http10 = false;  // no chunked coding
    bool keep_alive = true;
  };
  // Starts the next exchange and returns its number; calls with an older number have no effect.
  uint64_t Start(const Begin& begin);

  // Each returns true when the connection must be woken.
  bool Send(uint64_t number, Response response);
  bool StartStream(uint64_t number, int status, const Headers& headers);
  // `accepted`: what ResponseWriter::Write returns.
  bool Write(uint64_t number, std::string chunk, bool* accepted);
  bool Finish(uint64_t number);
  // The writer is gone: 500 when nothing was sent, a cut connection when a stream was not finished.
  bool Abandon(uint64_t number);
  // False when the client is gone already: the caller has to run the callback itself.
  bool OnClose(uint64_t number, std::function<void()> callback);

  // The connection's side, called on its strand.
  struct Batch {
    std::deque<std::string> buffers;
    bool complete = false;  // nothing follows
    bool close = false;     // close the connection after it
    bool broken = false;    // give the connection up now
  };
  Batch Take();
  // Bytes of a batch that left the process.
  void Sent(size_t bytes);
  void QueueRaw(std::string bytes);  // "100 Continue"
  void SetNoKeepAlive();
  [[nodiscard]] bool streaming() const;
  // The client is gone; what was registered with OnClose, to be run by the caller, once.
  // `for_good`: nothing can be sent any more either, nobody is woken again.
  std::vector<std::function<void()>> Close(bool for_good);

 private:
  enum class State { kIdle, kWaiting, kStreaming, kComplete };

  bool Wake();
  void Push(std::string bytes);
  std::string Head(int status, const Headers& headers);

  const size_t max_backlog_;
  mutable std::mutex mutex_;
  State state_ = State::kIdle;
  uint64_t number_ = 0;
  Begin request_;
  std::deque<std::string> queue_;
  size_t backlog_ = 0;  // bytes queued and in flight
  bool awake_ = false;  // a wake-up is on its way
  bool broken_ = false;
  bool gone_ = false;
  bool shut_ = false;
  std::vector<std::function<void()>> callbacks_;
};

}  // namespace envicutor::http

// A server on a free loopback port, clients for it, and a raw socket for what a well-behaved client
// never sends. Shared by the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>

#include "common/http/client.h"
#include "common/http/server.h"

namespace envicutor::http {

// Something that one thread says and another waits for, at most 10 seconds.
class Signal {
 public:
  void Set();
  [[nodiscard]] bool Wait();
  [[nodiscard]] bool IsSet() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

// A TCP connection to 127.0.0.1; reads give up after 10 seconds.
class RawConnection {
 public:
  explicit RawConnection(uint16_t port);
  ~RawConnection();
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  bool Send(std::string_view bytes);
  // Up to the end of file or until `until` was seen. What came so far when the time is over.
  std::string Read(std::string_view until = {});
  [[nodiscard]] bool TimedOut() const { return timed_out_; }
  void CloseSending();

 private:
  int fd_;
  bool timed_out_ = false;
};

// Handler that answers with "METHOD PATH BODYSIZE".
void Echo(const ServerRequest& request, const std::shared_ptr<ResponseWriter>& writer);

std::unique_ptr<Server> MustStart(const ServerOptions& options, Handler handler);
std::unique_ptr<Client> MustConnect(const ClientOptions& options);
std::unique_ptr<Client> PlainClient(uint16_t port);

// A CA and what it issued, valid now.
struct Pki {
  KeyPair ca;
  [[nodiscard]] KeyPair Server(const std::string& dns_name) const;
  [[nodiscard]] KeyPair ClientCert(const std::string& common_name,
                                   const std::vector<std::string>& organizations) const;
};
Pki NewPki();

}  // namespace envicutor::http

// What all parts of a node share. Everything in it is thread-safe and outlives the pods' workers.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/kube/client.h"
#include "common/kube/recorder.h"
#include "standalone/node/forwarder.h"
#include "standalone/node/host.h"

namespace envicutor::standalone {

// Indexes N of the pods' addresses 127.77.SUBNET.N. Thread-safe.
class AddressPool {
 public:
  // `wanted` if it is free or reserved (what a pod had before the node's restart), else the first
  // that is neither and `usable` (nullptr: all are). `usable` is called with the pool locked.
  [[nodiscard]] std::optional<int> Take(int wanted = 0,
                                        const std::function<bool(int)>& usable = nullptr);
  void Give(int index);
  // Kept for the one that wants exactly this, until ForgetReserved.
  void Reserve(int index);
  void ForgetReserved();
  [[nodiscard]] static std::string Address(int index, int subnet = 0) {
    return "127.77." + std::to_string(subnet) + "." + std::to_string(index);
  }
  // "127.77.0.2 to 127.77.0.250"
  [[nodiscard]] static std::string Range(int subnet);

 private:
  std::mutex mutex_;
  std::set<int> taken_;
  std::set<int> reserved_;
};

// OK when nobody listens on any of `ports` at `address` now; else Unavailable, which names the
// port.
[[nodiscard]] Status CheckPortsFree(const std::string& address, const std::vector<int>& ports);

// Wakes those who follow logs. Thread-safe.
class LogHub {
 public:
  void Notify();
  // Returns when something was written since `seen`, or after `timeout`; the new value of `seen`.
  uint64_t WaitForNews(uint64_t seen, Duration timeout);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t writes_ = 0;
};

struct NodeContext {
  kube::Client* client = nullptr;
  kube::EventRecorder* events = nullptr;
  Forwarder* forwarder = nullptr;  // nullptr in host mode
  const Clock* clock = nullptr;
  PodGroups groups;
  ModeDecision mode;
  std::string node_name;
  std::string host_path_root;  // "": hostPath volumes are the host's own
  int pod_subnet = 0;
  std::string host_ip = "127.0.0.1";
  std::string pods_dir;   // DATA/node/pods
  std::string logs_dir;   // DATA/node/logs
  std::string lock_path;  // held while this node lives
  std::string bin_dir;
  std::string api_host;  // of the API server, for pods with a service account's token
  std::string api_port;
  AddressPool addresses;
  LogHub log_hub;
};

// DATA/node/logs/NS_POD_UID
[[nodiscard]] std::string PodLogDir(const NodeContext& context, const std::string& ns,
                                    const std::string& pod, const std::string& uid);

}  // namespace envicutor::standalone

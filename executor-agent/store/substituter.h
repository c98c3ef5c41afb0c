// Brings environments from the binary cache into the node's store: Nix substitutes what one of the
// configured keys signed, the rest is InstallEnvironment.
//
// Single flight: whoever asks for an environment that is on its way waits for it. Runs go before
// prefetches. A failure is remembered for some seconds, growing to half a minute, so that neither a
// cache that is down nor one that lies is asked by each of many submissions; askers get its reason
// at once.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "executor-agent/store/environment_store.h"
#include "executor-agent/store/nix_command.h"
#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {

struct SubstituterOptions {
  std::string store_root;
  std::string cache_url;    // a Nix binary cache: file://, http(s)://, s3://
  std::string upstreams;    // more of them, in nix.conf's form
  std::string public_keys;  // "name:base64 ..."; nothing that none of them signed is taken
  std::string scratch_dir;  // Nix's own caches; of this process alone, emptied
  int64_t max_closure_bytes = 32LL << 30;
  int64_t min_free_bytes = 256LL << 20;  // of the store's file system; a fetch that takes more ends
  std::chrono::milliseconds timeout{std::chrono::minutes(10)};  // of one fetch as a whole
  int workers = 2;                                              // fetches at once
};

// How Nix is called for a store of ours: its environment, with these settings ("name = value\n").
[[nodiscard]] std::vector<std::string> NixEnvironment(const std::string& scratch_dir,
                                                      const std::string& settings);
// "local?root=ROOT".
[[nodiscard]] std::string NixStoreUri(const std::string& store_root);

// Thread-safe.
class Substituter final : public EnvironmentSource {
 public:
  // After each fetch that Nix was started for, on one of the substituter's threads. May be empty.
  using OnFetched = std::function<void(const Status& status, std::chrono::milliseconds took)>;

  explicit Substituter(SubstituterOptions options, OnFetched on_fetched = nullptr);
  ~Substituter() override;  // ends what is going on

  [[nodiscard]] Status Fetch(const std::string& hash, const std::string& store_path,
                             std::stop_token stop) override;
  // Fetched when nothing else is to do; one that is there, or on its way, or failed a moment ago is
  // left alone.
  void Prefetch(const std::string& hash, const std::string& store_path);
  // "Fetching", "Failed" (and the message), or "" when neither.
  [[nodiscard]] std::string StateOf(const std::string& hash, std::string* message) const;

 private:
  struct Flight {
    std::string hash;
    std::string store_path;
    bool started = false;
    bool wanted = false;  // by a run
    bool done = false;
    Status status;
  };
  struct Failure {
    Status status;
    int count = 0;
    std::chrono::steady_clock::time_point until;
  };

  void Work(const std::stop_token& stop);
  std::shared_ptr<Flight> Next();                                                     // mutex_ held
  std::shared_ptr<Flight> Take(const std::string&, const std::string&, bool wanted);  // held
  void Landed(const std::shared_ptr<Flight>& flight, const Status& status);
  [[nodiscard]] Status Substitute(const Flight& flight, const std::stop_token& stop);
  [[nodiscard]] NixExit Nix(std::vector<std::string> argv, const std::string& settings,
                            const std::string& scratch, const std::stop_token& stop) const;
  [[nodiscard]] Status CheckRoom() const;

  const SubstituterOptions options_;
  const StoreLayout layout_;
  const OnFetched on_fetched_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, std::shared_ptr<Flight>> flights_;  // by hash, those not done
  std::deque<std::shared_ptr<Flight>> waiting_;
  std::map<std::string, Failure> failures_;
  uint64_t next_scratch_ = 0;
  std::vector<std::jthread> workers_;  // last: they use the others
};

}  // namespace envicutor::agent

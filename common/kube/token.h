// Internal to this room: the bearer token, fixed or from a file that is read again every minute
// (service-account tokens rotate). Thread-safe.
#pragma once

#include <mutex>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/status.h"

namespace envicutor::kube {

class TokenSource {
 public:
  TokenSource(std::string fixed, std::string file, const Clock& clock)
      : file_(std::move(file)), clock_(clock), token_(std::move(fixed)) {}

  // "" when there is none. A file that cannot be read is an error only while no token is known.
  [[nodiscard]] Result<std::string> Get();
  // The server did not take the token: read the file again next time.
  void Refused();

 private:
  const std::string file_;
  const Clock& clock_;
  std::mutex mutex_;
  std::string token_;
  std::optional<SteadyTime> read_at_;
};

}  // namespace envicutor::kube

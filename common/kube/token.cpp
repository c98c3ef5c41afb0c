#include "common/kube/token.h"

#include "common/base/file.h"
#include "common/base/log.h"

namespace envicutor::kube {
namespace {
constexpr std::chrono::minutes kReadEvery{1};
constexpr size_t kMaxTokenBytes = 64U << 10U;
}  // namespace

Result<std::string> TokenSource::Get() {
  const std::scoped_lock lock(mutex_);
  if (file_.empty()) return token_;
  const SteadyTime now = clock_.Now();
  if (read_at_ && now - *read_at_ < kReadEvery) return token_;
  Result<std::string> text = ReadFile(file_, kMaxTokenBytes);
  if (text.ok()) {
    text->erase(text->find_last_not_of(" \t\r\n") + 1);
    token_ = *text;
    read_at_ = now;
    return token_;
  }
  if (token_.empty()) return text.status().WithContext("bearer token");
  log::Warn("bearer token cannot be read again", {{"error", text.status().ToString()}});
  read_at_ = now;
  return token_;
}

void TokenSource::Refused() {
  const std::scoped_lock lock(mutex_);
  read_at_.reset();
}

}  // namespace envicutor::kube

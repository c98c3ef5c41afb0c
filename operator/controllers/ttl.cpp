#include "operator/controllers/ttl.h"

#include <algorithm>

#include "common/base/log.h"
#include "common/kube/resource.h"

namespace envicutor::op {
namespace {

constexpr std::chrono::seconds kRetry{5};
constexpr int kBatchesPerSecond = 10;
// Requests at a time. One after the other, each some milliseconds, would be the bound of all.
constexpr int kThreads = 4;
// While many finish a second, an API server takes tens of milliseconds for each: then so many more.
constexpr int kMoreThreads = 8;
// Each such time that the first one is late adds the usual rate once more.
constexpr std::chrono::milliseconds kPatience{500};
constexpr int kMostTimesFaster = 40;

// Of a deletion that would be answered like any other now.
bool ServersOwn(Code code) {
  return code == Code::kUnavailable || code == Code::kResourceExhausted ||
         code == Code::kDeadlineExceeded || code == Code::kUnauthenticated;
}

}  // namespace

TtlCollector::TtlCollector(kube::Client& client, const Clock& clock, int64_t default_ttl_seconds,
                           int per_second)
    : client_(client),
      clock_(clock),
      per_second_(per_second),
      default_ttl_seconds_(default_ttl_seconds) {}

TtlCollector::~TtlCollector() { Stop(); }

void TtlCollector::Finished(const Json& submission) {
  const Result<WallTime> completed =
      ParseRfc3339(GetString(At(submission, {"status"}), "completionTime"));
  Entry entry;
  entry.from = completed.ok() ? *completed : clock_.WallNow();
  entry.own = GetInt(At(submission, {"spec"}), "ttlSecondsAfterFinished", -1);
  entry.name = kube::NameOf(submission);
  {
    const std::lock_guard lock(mutex_);
    const auto [uid, fresh] = known_.insert(kube::UidOf(submission));
    if (!fresh) return;
    entry.uid = &*uid;
    entry.ns = &*namespaces_.insert(kube::NamespaceOf(submission)).first;
    entry.due =
        entry.from + std::chrono::seconds(entry.own >= 0 ? entry.own : default_ttl_seconds_);
    const bool first = entries_.empty() || entry.due < entries_.top().due;
    entries_.push(std::move(entry));
    if (!first) return;  // they wait for an earlier one
  }
  wake_.notify_all();  // those who help when it is late wait for it too
}

void TtlCollector::SetDefault(int64_t seconds) {
  {
    const std::lock_guard lock(mutex_);
    if (seconds == default_ttl_seconds_) return;
    default_ttl_seconds_ = seconds;
    std::vector<Entry> all;
    all.reserve(entries_.size());
    for (; !entries_.empty(); entries_.pop()) {
      all.push_back(entries_.top());
      Entry& entry = all.back();
      if (entry.own < 0) entry.due = entry.from + std::chrono::seconds(seconds);
    }
    entries_ = decltype(entries_)(std::greater<>(), std::move(all));
  }
  wake_.notify_all();
}

size_t TtlCollector::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

std::optional<WallTime> TtlCollector::Sweep(int most) {
  for (int i = 0; i < most; ++i) {
    Entry entry;
    {
      const std::lock_guard lock(mutex_);
      if (entries_.empty()) return std::nullopt;
      if (const WallTime next = NextLocked(); next > clock_.WallNow()) return next;
      entry = entries_.top();
      entries_.pop();
    }
    kube::Client::DeleteOptions options;
    options.uid = *entry.uid;  // only Sweep erases it
    options.propagation = "Background";
    const Status status = client_.Delete(kube::kSubmissions, *entry.ns, entry.name, options);
    if (status.ok() || status.code() == Code::kNotFound || status.code() == Code::kConflict) {
      const std::lock_guard lock(mutex_);
      known_.erase(known_.find(*entry.uid));  // deleted, or another of the same name is there
    } else {
      Failed(std::move(entry), status);
    }
  }
  const std::lock_guard lock(mutex_);
  if (entries_.empty()) return std::nullopt;
  return NextLocked();
}

void TtlCollector::Failed(Entry entry, const Status& why) {
  const std::lock_guard lock(mutex_);
  const WallTime now = clock_.WallNow();
  const bool pause = ServersOwn(why.code());
  // One line for all that were on their way.
  if (!pause || not_before_ <= now) {
    log::Warn(pause ? "no finished submission is deleted for some seconds"
                    : "a finished submission was not deleted",
              {{"namespace", *entry.ns},
               {"name", entry.name},
               {"uid", *entry.uid},
               {"error", why.ToString()}});
  }
  entry.due = now + kRetry;
  if (pause) not_before_ = entry.due;
  const bool first = entries_.empty() || entry.due < entries_.top().due;
  entries_.push(std::move(entry));
  if (first) wake_.notify_all();  // who found nothing waits without a time
}

WallTime TtlCollector::NextLocked() const {
  // A pause of more than kRetry: the clock was set back.
  const bool pause = not_before_ <= clock_.WallNow() + kRetry;
  return pause ? std::max(entries_.top().due, not_before_) : entries_.top().due;
}

int TtlCollector::BatchSize() const {
  const int usual = std::max(1, per_second_ / kBatchesPerSecond / kThreads);
  const std::lock_guard lock(mutex_);
  if (entries_.empty()) return usual;
  const int64_t late = LateLocked();
  return usual * static_cast<int>(1 + std::clamp<int64_t>(late, 0, kMostTimesFaster - 1));
}

int64_t TtlCollector::LateLocked() const {
  return entries_.empty() ? 0 : (clock_.WallNow() - entries_.top().due) / kPatience;
}

void TtlCollector::Start() {
  for (int i = 0; i < kThreads + kMoreThreads; ++i) {
    threads_.emplace_back(
        [this, helps = i >= kThreads](std::stop_token stop) { Run(stop, helps); });
  }
}

void TtlCollector::Stop() {
  for (std::jthread& thread : threads_) thread.request_stop();
  wake_.notify_all();
  threads_.clear();
}

int TtlCollector::HelpersBatchSize() const {
  {
    const std::lock_guard lock(mutex_);
    if (LateLocked() <= 0) return 0;
  }
  return BatchSize();
}

void TtlCollector::Run(std::stop_token stop, bool helps) {
  constexpr std::chrono::milliseconds kPause{1000 / kBatchesPerSecond};
  while (!stop.stop_requested()) {
    const std::optional<WallTime> next = Sweep(helps ? HelpersBatchSize() : BatchSize());
    std::unique_lock lock(mutex_);
    if (next.has_value() && *next <= clock_.WallNow()) {
      wake_.wait_for(lock, stop, kPause, [] { return false; });  // more are due: the rate holds
    } else if (next.has_value()) {
      const WallTime before = *next;
      const Duration wait = std::min<Duration>(before - clock_.WallNow(), std::chrono::minutes(1));
      wake_.wait_for(lock, stop, wait, [&] { return !entries_.empty() && NextLocked() < before; });
    } else {
      wake_.wait(lock, stop, [this] { return !entries_.empty(); });
    }
  }
}

}  // namespace envicutor::op

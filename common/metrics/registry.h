// Counters, gauges and histograms for Prometheus. Names, labels and buckets are in metrics.h; this
// is the small facade over prometheus-cpp behind it.
//
//   metrics::Registry registry;                      // one a process, made in main, passed down
//   metrics::OperatorMetrics metrics(&registry);     // nullptr: everything counts into nothing
//   metrics.submissions_total.With({runtime, verdict}).Increment();
//   writer->Send({200, {{"Content-Type", metrics::kContentType}}, registry.Render()});
//
// Everything is thread-safe. Handles (Counter, Gauge, Histogram) are copied freely and must not
// outlive their registry.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace envicutor::metrics {

inline constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

class Counter {
 public:
  Counter() = default;
  explicit Counter(prometheus::Counter* series) : series_(series) {}
  void Increment(double by = 1) const;  // negative values are ignored
  [[nodiscard]] double Value() const;   // 0 without a registry

 private:
  prometheus::Counter* series_ = nullptr;
};

class Gauge {
 public:
  Gauge() = default;
  explicit Gauge(prometheus::Gauge* series) : series_(series) {}
  void Set(double value) const;
  void Add(double by) const;
  [[nodiscard]] double Value() const;

 private:
  prometheus::Gauge* series_ = nullptr;
};

class Histogram {
 public:
  Histogram() = default;
  explicit Histogram(prometheus::Histogram* series) : series_(series) {}
  void Observe(double value) const;
  void Observe(std::chrono::nanoseconds duration) const {
    Observe(std::chrono::duration<double>(duration).count());
  }

 private:
  prometheus::Histogram* series_ = nullptr;
};

// What a metric is called and how it is told apart. `labels` are the names, in the order of With().
struct Description {
  std::string name;
  std::string help;
  std::vector<std::string> labels;
  std::vector<double> buckets;  // histograms only
};

// One metric name with its series, made on first use, at most kMaxSeries of them: what comes later
// is counted in one series whose labels all say "other". Names that users choose cannot fill the
// memory.
template <typename Metric>
class FamilyBase {
 public:
  static constexpr size_t kMaxSeries = 2000;
  virtual ~FamilyBase() = default;
  virtual Metric With(std::span<const std::string> values) = 0;
  virtual void Remove(std::span<const std::string> values) = 0;
};

// A family with N labels; without a registry its series count into nothing.
template <typename Metric, size_t N>
class Family {
 public:
  Family() = default;
  explicit Family(FamilyBase<Metric>* family) : family_(family) {}
  [[nodiscard]] Metric With(const std::array<std::string, N>& values) const {
    return family_ == nullptr ? Metric() : family_->With(values);
  }
  // Forgets a series (its handles must not be used any more): a pool that was deleted.
  void Remove(const std::array<std::string, N>& values) const {
    if (family_ != nullptr) family_->Remove(values);
  }

 private:
  FamilyBase<Metric>* family_ = nullptr;
};

class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The family of that name; made when it is not there yet. A name is always used with one kind of
  // metric, one help text and one set of labels (CHECK).
  FamilyBase<Counter>* CounterFamily(const Description& description);
  FamilyBase<Gauge>* GaugeFamily(const Description& description);
  FamilyBase<Histogram>* HistogramFamily(const Description& description);

  // All metrics in Prometheus' text format.
  [[nodiscard]] std::string Render();

  // Runs `update` before each Render, until the returned handle is destroyed (which waits for a
  // running one): for gauges that are read rather than kept. `update` must not call the registry.
  [[nodiscard]] std::shared_ptr<void> OnRender(std::function<void()> update);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace envicutor::metrics

#include "common/metrics/registry.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "common/base/check.h"

namespace envicutor::metrics {
namespace {

template <typename Metric, typename Series>
class FamilyImpl final : public FamilyBase<Metric> {
 public:
  FamilyImpl(prometheus::Family<Series>& family, Description description)
      : family_(family), description_(std::move(description)) {}

  Metric With(std::span<const std::string> values) override {
    CHECK(values.size() == description_.labels.size(), description_.name);
    const std::scoped_lock lock(mutex_);
    Key key(values.begin(), values.end());
    const auto it = series_.find(key);
    if (it != series_.end()) return Metric(it->second);
    if (series_.size() >= FamilyBase<Metric>::kMaxSeries) {
      std::fill(key.begin(), key.end(), "other");
      if (const auto other = series_.find(key); other != series_.end()) {
        return Metric(other->second);
      }
    }
    prometheus::Labels labels;
    for (size_t i = 0; i < key.size(); ++i) labels.emplace(description_.labels[i], key[i]);
    Series* series = nullptr;
    if constexpr (std::is_same_v<Series, prometheus::Histogram>) {
      series = &family_.Add(labels, description_.buckets);
    } else {
      series = &family_.Add(labels);
    }
    series_.emplace(std::move(key), series);
    return Metric(series);
  }

  void Remove(std::span<const std::string> values) override {
    const std::scoped_lock lock(mutex_);
    const auto it = series_.find(Key(values.begin(), values.end()));
    if (it == series_.end()) return;
    family_.Remove(it->second);
    series_.erase(it);
  }

  [[nodiscard]] bool Matches(const Description& other) const {
    return description_.help == other.help && description_.labels == other.labels;
  }

 private:
  using Key = std::vector<std::string>;
  prometheus::Family<Series>& family_;
  const Description description_;
  std::mutex mutex_;
  std::map<Key, Series*> series_;
};

using Counters = FamilyImpl<Counter, prometheus::Counter>;
using Gauges = FamilyImpl<Gauge, prometheus::Gauge>;
using Histograms = FamilyImpl<Histogram, prometheus::Histogram>;

template <typename Impl, typename Builder>
Impl* FindOrMake(std::map<std::string, std::unique_ptr<Impl>>& families, Builder builder,
                 prometheus::Registry& registry, const Description& description) {
  std::unique_ptr<Impl>& family = families[description.name];
  if (!family) {
    family = std::make_unique<Impl>(
        builder.Name(description.name).Help(description.help).Register(registry), description);
  }
  CHECK(family->Matches(description), description.name);
  return family.get();
}

}  // namespace

void Counter::Increment(double by) const {
  if (series_ != nullptr && by > 0) series_->Increment(by);
}
double Counter::Value() const { return series_ == nullptr ? 0 : series_->Value(); }

void Gauge::Set(double value) const {
  if (series_ != nullptr) series_->Set(value);
}
void Gauge::Add(double by) const {
  if (series_ != nullptr) series_->Increment(by);
}
double Gauge::Value() const { return series_ == nullptr ? 0 : series_->Value(); }

void Histogram::Observe(double value) const {
  if (series_ != nullptr) series_->Observe(value);
}

struct Registry::Impl {
  prometheus::Registry registry;
  std::mutex families_mutex;
  std::map<std::string, std::unique_ptr<Counters>> counters;
  std::map<std::string, std::unique_ptr<Gauges>> gauges;
  std::map<std::string, std::unique_ptr<Histograms>> histograms;
  std::mutex updates_mutex;  // held while updates run
  std::map<uint64_t, std::function<void()>> updates;
  uint64_t next_update = 0;
};

Registry::Registry() : impl_(std::make_shared<Impl>()) {}
Registry::~Registry() = default;

FamilyBase<Counter>* Registry::CounterFamily(const Description& description) {
  const std::scoped_lock lock(impl_->families_mutex);
  return FindOrMake(impl_->counters, prometheus::BuildCounter(), impl_->registry, description);
}

FamilyBase<Gauge>* Registry::GaugeFamily(const Description& description) {
  const std::scoped_lock lock(impl_->families_mutex);
  return FindOrMake(impl_->gauges, prometheus::BuildGauge(), impl_->registry, description);
}

FamilyBase<Histogram>* Registry::HistogramFamily(const Description& description) {
  const std::scoped_lock lock(impl_->families_mutex);
  return FindOrMake(impl_->histograms, prometheus::BuildHistogram(), impl_->registry, description);
}

std::string Registry::Render() {
  {
    const std::scoped_lock lock(impl_->updates_mutex);
    for (const auto& [id, update] : impl_->updates) update();
  }
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

std::shared_ptr<void> Registry::OnRender(std::function<void()> update) {
  const std::scoped_lock lock(impl_->updates_mutex);
  const uint64_t id = impl_->next_update++;
  impl_->updates.emplace(id, std::move(update));
  return std::shared_ptr<void>(nullptr, [impl = std::weak_ptr(impl_), id](void*) {
    const std::shared_ptr<Impl> registry = impl.lock();
    if (!registry) return;
    const std::scoped_lock updates(registry->updates_mutex);
    registry->updates.erase(id);
  });
}

}  // namespace envicutor::metrics

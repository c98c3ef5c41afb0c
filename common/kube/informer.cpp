#include "common/kube/informer.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "common/base/backoff.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/kube/cache.h"
#include "common/kube/pager.h"

namespace envicutor::kube {
namespace {

// A watch that lasted this long, or brought anything, was a good one: the backoff starts anew.
constexpr std::chrono::seconds kGoodWatch{30};
constexpr int kPagedTries = 3;

class ReflectingInformer final : public Informer {
 public:
  ReflectingInformer(Client& client, ResourceType type, InformerOptions options)
      : client_(client),
        type_(std::move(type)),
        options_(std::move(options)),
        cache_(options_.summarize) {}
  ~ReflectingInformer() override { Stop(); }
  ReflectingInformer(const ReflectingInformer&) = delete;
  ReflectingInformer& operator=(const ReflectingInformer&) = delete;

  void AddHandler(EventHandler handler) override {
    CHECK(!thread_.joinable(), "handlers are added before Start");
    handlers_.push_back(std::move(handler));
  }

  void Start() override {
    CHECK(!thread_.joinable(), "an informer starts once");
    thread_ = std::jthread([this](const std::stop_token& stop) { Reflect(stop); });
  }

  void Stop() override {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
  }

  bool HasSynced() const override {
    const std::scoped_lock lock(mutex_);
    return synced_;
  }

  bool WaitForSync(std::chrono::milliseconds timeout) const override {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, timeout, [this] { return synced_; });
  }

  ObjectPtr Get(const std::string& key) const override { return cache_.Get(key); }
  std::vector<ObjectPtr> All() const override { return cache_.All(); }
  std::map<std::string, int64_t> Summarized() const override { return cache_.Summarized(); }
  void Observe(const Json& object) override { cache_.Observe(object); }

 private:
  void Reflect(const std::stop_token& stop) {
    Backoff backoff(options_.backoff_base, options_.backoff_max);
    std::string version;  // empty: a list is needed
    bool expired_before = false;
    while (!stop.stop_requested()) {
      if (version.empty()) {
        const Status listed = ListOnce(&version, stop);
        if (!listed.ok()) {
          Complain("list failed", listed);
          Pause(backoff.Next(), stop);
          continue;
        }
      }
      const SteadyTime start = std::chrono::steady_clock::now();
      bool got_any = false;
      const Status watched = WatchOnce(&version, &got_any, stop);
      if (stop.stop_requested()) return;
      const bool good = got_any || std::chrono::steady_clock::now() - start > kGoodWatch;
      if (good) backoff.Reset();
      if (watched.ok() && good) continue;  // ended in order: on from the last version
      if (!watched.ok()) {
        Complain("watch ended", watched);
        if (NeedsList(watched.code())) version.clear();
      }
      // The first relist after a 410 is prompt; a server that goes on like that is not hammered.
      const bool expired = watched.code() == Code::kExpired;
      if (expired && !std::exchange(expired_before, true)) continue;
      expired_before = expired;
      Pause(backoff.Next(), stop);
    }
  }

  // Broken connections and a busy server (429) leave the version good.
  static bool NeedsList(Code code) {
    return code != Code::kUnavailable && code != Code::kDeadlineExceeded &&
           code != Code::kResourceExhausted;
  }

  Status ListOnce(std::string* version, const std::stop_token& stop) {
    ListOptions list_options;
    list_options.label_selector = options_.label_selector;
    list_options.field_selector = options_.field_selector;
    list_options.stop = stop;
    Status listed = ListInto(list_options, version);
    for (int i = 0; i < kPagedTries && listed.code() == Code::kExpired; ++i) {
      // The list's snapshot was compacted between two pages; at last take it in one piece.
      if (i + 1 == kPagedTries) list_options.page_size = 0;
      listed = ListInto(list_options, version);
    }
    if (!listed.ok()) {
      version->clear();
      return listed;
    }
    const std::scoped_lock lock(mutex_);
    synced_ = true;
    changed_.notify_all();
    return OkStatus();
  }

  Status ListInto(const ListOptions& options, std::string* version) {
    auto* pager = dynamic_cast<Pager*>(&client_);
    cache_.BeginList();
    if (pager == nullptr) {
      ENVICUTOR_ASSIGN(List list, client_.ListAll(type_, options_.ns, options));
      *version = list.resource_version;
      Announce(cache_.AddListed(std::move(list.items)));
    } else {
      std::string next;
      do {
        ENVICUTOR_ASSIGN(Page page, pager->ListPage(type_, options_.ns, options, next));
        *version = page.list.resource_version;
        next = std::move(page.next);
        Announce(cache_.AddListed(std::move(page.list.items)));
      } while (!next.empty());
    }
    Announce(cache_.EndList(*version));
    return OkStatus();
  }

  Status WatchOnce(std::string* version, bool* got_any, const std::stop_token& stop) {
    const WatchOptions watch{*version, options_.label_selector, options_.field_selector,
                             options_.skim};
    return client_.Watch(
        type_, options_.ns, watch,
        [&](WatchEvent event) {
          *got_any = true;
          if (std::string seen = ResourceVersionOf(event.object); !seen.empty()) {
            *version = std::move(seen);
          }
          if (event.type != WatchEvent::Type::kBookmark) {
            event.object["apiVersion"] = type_.ApiVersion();
            event.object["kind"] = type_.kind;
            Announce(cache_.Apply(std::move(event)));
          }
          return !stop.stop_requested();
        },
        stop);
  }

  void Announce(const std::vector<Change>& changes) {
    for (const Change& change : changes) {
      for (const EventHandler& handler : handlers_) {
        if (!change.old) {
          if (handler.on_add) handler.on_add(change.now);
        } else if (change.now) {
          if (handler.on_update) handler.on_update(change.old, change.now);
        } else if (handler.on_delete) {
          handler.on_delete(change.old);
        }
      }
    }
  }

  void Complain(std::string_view what, const Status& status) const {
    const auto level = status.code() == Code::kExpired ? log::Level::kInfo : log::Level::kWarn;
    log::Write(level, "informer: " + std::string(what),
               {{"resource", type_.plural}, {"error", status.ToString()}});
  }

  void Pause(Duration duration, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    pause_.wait_for(lock, stop, duration, [] { return false; });
  }

  Client& client_;
  const ResourceType type_;
  const InformerOptions options_;
  std::vector<EventHandler> handlers_;
  Cache cache_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::condition_variable_any pause_;
  bool synced_ = false;
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<Informer> NewInformer(Client& client, ResourceType type, InformerOptions options) {
  return std::make_unique<ReflectingInformer>(client, std::move(type), std::move(options));
}

}  // namespace envicutor::kube

#include "standalone/apiserver/apiserver.h"

#include <arpa/inet.h>
#include <malloc.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "common/base/log.h"
#include "common/http/server.h"
#include "standalone/apiserver/core/controllers.h"
#include "standalone/apiserver/core/memory_storage.h"
#include "standalone/apiserver/http/handler.h"
#include "standalone/apiserver/storage/sqlite_storage.h"

namespace envicutor::standalone {
namespace {

constexpr std::chrono::seconds kBookmarkPeriod{30};
// Work that failed (a full disk) is tried again without a change to wake it.
constexpr std::chrono::seconds kControllersResync{30};
// Nobody waits for garbage collection by the millisecond, and a look at every kind is not free.
constexpr std::chrono::milliseconds kControllersPeriod{10};
// What a load has left behind between objects that stay goes back to the kernel: by itself malloc
// only gives back what is at the end of its heaps.
constexpr std::chrono::seconds kTrimPeriod{30};
constexpr size_t kMaxBodyBytes = 3U << 20U;  // kube-apiserver's; objects are bounded below that
// An initial list of a watch is written at once.
constexpr size_t kMaxStreamBacklog = 64U << 20U;

bool IsLoopback(const std::string& address) {
  in_addr v4{};
  if (inet_pton(AF_INET, address.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24U) == 127;
  return address == "::1" || address == "localhost";
}

class Daemon final : public ApiServer {
 public:
  explicit Daemon(const ApiServerOptions& options)
      : storage_(options.data_dir.empty()
                     ? std::unique_ptr<Storage>(std::make_unique<MemoryStorage>())
                     : std::make_unique<SqliteStorage>(options.data_dir)),
        store_(storage_.get(), options.watch_history_events),
        api_(&store_, &clock_, &ids_),
        controllers_(&api_),
        hub_(&api_, kBookmarkPeriod),
        logs_(&api_),
        handler_(&api_, &hub_, &logs_, Authenticator(options.tokens, options.allow_anonymous)) {}

  ~Daemon() override { Stop(std::chrono::milliseconds(0)); }

  Status Start(const ApiServerOptions& options) {
    api_.SetChangeListener([this] {
      hub_.Wake();
      {
        const std::lock_guard lock(mutex_);
        if (std::exchange(changed_, true)) return;  // it has been told
      }
      wake_.notify_all();
    });
    ENVICUTOR_RETURN_IF_ERROR(api_.Start(options.namespaces));
    controllers_thread_ = std::thread([this] { RunControllers(); });
    http::ServerOptions server;
    server.address = options.address;
    server.port = options.port;
    server.tls = options.tls;
    if (server.tls) server.tls->require_client_cert = false;
    server.io_threads = options.io_threads;
    server.handler_threads = options.handler_threads;
    server.at_once = [this](const http::ServerRequest& request) {
      return handler_.IsShort(request);
    };
    server.max_body_bytes = kMaxBodyBytes;
    server.max_stream_backlog = kMaxStreamBacklog;
    ENVICUTOR_ASSIGN(
        server_, http::StartServer(server, [this](const http::ServerRequest& request,
                                                  std::shared_ptr<http::ResponseWriter> writer) {
          handler_.Handle(request, writer);
        }));
    url_ = std::string(options.tls ? "https" : "http") + "://" +
           (options.address.find(':') == std::string::npos ? options.address
                                                           : "[" + options.address + "]") +
           ":" + std::to_string(server_->port());
    log::Info("API server is ready",
              {{"url", url_}, {"revision", std::to_string(store_.PublishedRevision())}});
    return OkStatus();
  }

  [[nodiscard]] uint16_t port() const override { return server_->port(); }
  [[nodiscard]] std::string url() const override { return url_; }

  void Stop(std::chrono::milliseconds grace) override {
    const std::lock_guard once(stop_mutex_);
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      stopping_ = true;
    }
    wake_.notify_all();
    hub_.Stop();
    logs_.Stop();
    if (server_ != nullptr) server_->Stop(grace);
    if (controllers_thread_.joinable()) controllers_thread_.join();
    store_.Drain();  // writes whose clients were not waited for
  }

 private:
  void RunControllers() {
    SteadyTime next{};
    SteadyTime next_trim = clock_.Now() + kTrimPeriod;
    while (true) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, kControllersResync, [&] { return changed_ || stopping_; });
        // What comes in a row is looked at together.
        wake_.wait_until(lock, next, [&] { return stopping_; });
        if (stopping_) return;
        changed_ = false;
      }
      // What it writes wakes it again.
      controllers_.Step();
      const SteadyTime now = clock_.Now();
      next = now + kControllersPeriod;
      if (now >= next_trim) {
        malloc_trim(0);
        next_trim = now + kTrimPeriod;
      }
    }
  }

  SystemClock clock_;
  SystemIdSource ids_;
  std::unique_ptr<Storage> storage_;
  Store store_;
  Api api_;
  Controllers controllers_;
  WatchHub hub_;
  LogProxy logs_;
  ApiHandler handler_;
  std::string url_;

  std::mutex stop_mutex_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool changed_ = true;
  bool stopping_ = false;
  std::thread controllers_thread_;
  std::unique_ptr<http::Server> server_;  // last: its handlers use all of the above
};

}  // namespace

Result<std::unique_ptr<ApiServer>> StartApiServer(const ApiServerOptions& options) {
  if (!options.tls && !IsLoopback(options.address)) {
    return InvalidArgument(
        "without TLS the API server listens on loopback addresses only, not on " + options.address);
  }
  if (options.tokens.empty() && !options.allow_anonymous &&
      (!options.tls || options.tls->client_ca_pem.empty())) {
    return InvalidArgument(
        "nobody could authenticate: give the API server tokens or a CA of client certificates");
  }
  auto daemon = std::make_unique<Daemon>(options);
  ENVICUTOR_RETURN_IF_ERROR(daemon->Start(options));
  return std::unique_ptr<ApiServer>(std::move(daemon));
}

}  // namespace envicutor::standalone

#include "common/http/server.h"

#include <fcntl.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "common/base/log.h"
#include "common/http/session.h"
#include "common/http/worker_pool.h"

namespace envicutor::http {
namespace {

using PlainSession = Session<StrandSocket>;
using TlsSession = Session<asio::ssl::stream<StrandSocket>>;

// asio opens sockets without CLOEXEC; a child started in between two calls still inherits one, so
// that what is spawned closes its descriptors too (posix_spawn + close_range).
void SetCloseOnExec(int fd) { ::fcntl(fd, F_SETFD, FD_CLOEXEC); }

class BeastServer final : public Server {
 public:
  BeastServer(ServerOptions options, Handler handler)
      // Told that one thread is all, Boost leaves out what would wake the next one.
      : io_(std::make_shared<asio::io_context>(std::max(1, options.io_threads))),
        core_(std::make_shared<SessionCore>()),
        handler_(std::move(handler)),
        acceptor_(asio::make_strand(*io_)),
        retry_(acceptor_.get_executor()) {
    core_->options = std::move(options);
    core_->io = io_;
    core_->handle = [this](ServerRequest request, std::shared_ptr<SessionBase> session,
                           uint64_t n) { Handle(std::move(request), std::move(session), n); };
    core_->remove = [this](SessionBase* session) { Remove(session); };
  }

  ~BeastServer() override { Stop(std::chrono::milliseconds(0)); }
  BeastServer(const BeastServer&) = delete;
  BeastServer& operator=(const BeastServer&) = delete;

  Status Listen() {
    const ServerOptions& options = core_->options;
    if (options.tls) {
      tls_.emplace(asio::ssl::context::tls_server);
      ENVICUTOR_RETURN_IF_ERROR(ConfigureServerContext(tls_->native_handle(), *options.tls));
    }
    const std::string where = options.address + ":" + std::to_string(options.port);
    error_code error;
    const auto address = asio::ip::make_address(options.address, error);
    if (error) return InvalidArgument("\"" + options.address + "\" is not an IP address");
    const tcp::endpoint endpoint(address, options.port);
    acceptor_.open(endpoint.protocol(), error);
    if (!error) {
      SetCloseOnExec(acceptor_.native_handle());
      acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    }
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (!error) port_ = acceptor_.local_endpoint(error).port();
    if (error) return ErrnoStatus(error.value(), "listen on " + where);

    if (options.handler_threads > 0) {
      workers_ = std::make_unique<WorkerPool>(options.handler_threads, options.max_queued_requests);
    }
    asio::post(acceptor_.get_executor(), [this] { Accept(); });
    for (int i = 0; i < std::max(1, options.io_threads); ++i) {
      threads_.emplace_back([io = io_] { RunIo(*io); });
    }
    return OkStatus();
  }

  [[nodiscard]] uint16_t port() const override { return port_; }

  void Stop(std::chrono::milliseconds grace) override {
    const std::scoped_lock stop_lock(stop_mutex_);
    if (std::exchange(stopped_, true)) return;
    core_->stopping = true;
    asio::post(acceptor_.get_executor(), [this] {
      error_code ignored;
      acceptor_.close(ignored);
      retry_.cancel(ignored);
    });
    {
      const auto sessions = Sessions();
      // Before the first is closed: an answer that is given from now on says that it is the last.
      for (const auto& session : sessions) session->exchange.SetNoKeepAlive();
      for (const auto& session : sessions) session->BeginStop();
    }
    {
      std::unique_lock lock(mutex_);
      empty_.wait_for(lock, grace, [this] { return sessions_.empty(); });
    }
    {
      std::unique_lock lock(mutex_);
      closing_ = true;  // a connection that is accepted from now on is dropped
    }
    for (const auto& session : Sessions()) session->AbortSoon();
    if (!threads_.empty()) {
      std::unique_lock lock(mutex_);
      empty_.wait(lock, [this] { return sessions_.empty(); });
    }
    if (workers_) workers_->Stop();
    io_->stop();
    for (std::thread& thread : threads_) thread.join();
    // Completions of what was cancelled hold sessions, and sessions hold the io_context: run them.
    io_->restart();
    RunIo(*io_, /*until_idle=*/true);
  }

 private:
  static void RunIo(asio::io_context& io, bool until_idle = false) {
    for (;;) {
      try {
        if (until_idle) {
          io.poll();
        } else {
          io.run();
        }
        return;
      } catch (const std::exception& error) {
        log::Error("http server: exception on an I/O thread", {{"error", error.what()}});
      }
    }
  }

  void Accept() {
    acceptor_.async_accept(asio::make_strand(*io_), [this](error_code error, StrandSocket socket) {
      if (!acceptor_.is_open()) return;
      if (error) return AcceptLater(error);
      Admit(std::move(socket));
      Accept();
    });
  }

  // Out of descriptors: without a pause the loop would spin.
  void AcceptLater(error_code error) {
    log::Warn("http server: accept failed", {{"error", error.message()}});
    retry_.expires_after(std::chrono::milliseconds(100));
    retry_.async_wait([this](error_code cancelled) {
      if (!cancelled && acceptor_.is_open()) Accept();
    });
  }

  void Admit(StrandSocket socket) {
    SetCloseOnExec(socket.native_handle());
    error_code error;
    socket.set_option(tcp::no_delay(true), error);
    const auto remote = socket.remote_endpoint(error);
    if (error) return;  // gone already
    const std::string address = remote.address().to_string();
    std::shared_ptr<SessionBase> session;
    {
      const std::scoped_lock lock(mutex_);
      if (closing_ || core_->stopping || sessions_.size() >= core_->options.max_connections) return;
      if (tls_) {
        session = std::make_shared<TlsSession>(core_, address, std::move(socket), *tls_);
      } else {
        session = std::make_shared<PlainSession>(core_, address, std::move(socket));
      }
      sessions_.emplace(session.get(), session);
    }
    session->Begin();
  }

  void Remove(SessionBase* session) {
    std::shared_ptr<SessionBase> last;  // destroyed without the lock
    const std::scoped_lock lock(mutex_);
    if (const auto it = sessions_.find(session); it != sessions_.end()) {
      last = std::move(it->second);
      sessions_.erase(it);
    }
    if (sessions_.empty()) empty_.notify_all();
  }

  std::vector<std::shared_ptr<SessionBase>> Sessions() {
    const std::scoped_lock lock(mutex_);
    std::vector<std::shared_ptr<SessionBase>> all;
    all.reserve(sessions_.size());
    for (const auto& [key, session] : sessions_) all.push_back(session);
    return all;
  }

  void Handle(ServerRequest request, std::shared_ptr<SessionBase> session, uint64_t number) {
    auto writer = NewWriter(std::move(session), number);
    const auto& at_once = core_->options.at_once;
    if (!workers_ || (at_once && at_once(request))) return Run(request, writer);
    auto shared = std::make_shared<ServerRequest>(std::move(request));
    if (!workers_->TryRun([this, shared, writer] { Run(*shared, writer); })) {
      writer->Send({503,
                    {{"Content-Type", "text/plain"}, {"Retry-After", "1"}},
                    "too many requests are waiting\n"});
    }
  }

  void Run(const ServerRequest& request, const std::shared_ptr<ResponseWriter>& writer) {
    try {
      handler_(request, writer);
    } catch (const std::exception& error) {
      log::Error("http server: a handler threw", {{"path", request.path}, {"error", error.what()}});
      writer->Send({500, {{"Content-Type", "text/plain"}}, "internal error\n"});
    }
  }

  std::shared_ptr<asio::io_context> io_;
  std::shared_ptr<SessionCore> core_;
  Handler handler_;
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  std::optional<asio::ssl::context> tls_;
  std::unique_ptr<WorkerPool> workers_;
  std::vector<std::thread> threads_;
  uint16_t port_ = 0;
  std::mutex stop_mutex_;
  bool stopped_ = false;  // under stop_mutex_

  std::mutex mutex_;
  std::condition_variable empty_;
  bool closing_ = false;
  std::unordered_map<SessionBase*, std::shared_ptr<SessionBase>> sessions_;
};

}  // namespace

Result<std::unique_ptr<Server>> StartServer(const ServerOptions& options, Handler handler) {
  if (options.max_connections == 0 || options.max_header_bytes < 256 ||
      options.max_header_bytes > (16U << 20U)) {
    return InvalidArgument("max_connections must be positive, max_header_bytes 256 to 16777216");
  }
  auto server = std::make_unique<BeastServer>(options, std::move(handler));
  ENVICUTOR_RETURN_IF_ERROR(server->Listen());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace envicutor::http

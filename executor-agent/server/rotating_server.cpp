#include "executor-agent/server/rotating_server.h"

#include <utility>

#include "common/base/file.h"
#include "common/base/log.h"

namespace envicutor::agent {
namespace {

constexpr size_t kMaxPemBytes = 256U << 10U;
// For requests that run; a long poll is asked again.
constexpr std::chrono::seconds kSwitchGrace{1};

bool Same(const http::TlsServerOptions& a, const http::TlsServerOptions& b) {
  return a.cert_pem == b.cert_pem && a.key_pem == b.key_pem && a.client_ca_pem == b.client_ca_pem;
}

// Whether a server can be made of them, without touching the one that serves.
Status Try(const http::TlsServerOptions& tls) {
  http::ServerOptions options;
  options.tls = tls;
  return http::StartServer(options, [](const auto&, const auto& writer) { writer->Send({}); })
      .status();
}

}  // namespace

Result<http::TlsServerOptions> ReadTls(const std::string& dir) {
  http::TlsServerOptions tls;
  const std::pair<const char*, std::string*> files[] = {
      {"tls.crt", &tls.cert_pem}, {"tls.key", &tls.key_pem}, {"ca.crt", &tls.client_ca_pem}};
  for (const auto& [name, out] : files) {
    const std::string path = dir + '/' + name;
    Result<std::string> pem = ReadFile(path, kMaxPemBytes);
    if (!pem.ok()) return pem.status().WithContext("--tls-dir");
    if (pem->empty()) return InvalidArgument("--tls-dir: " + path + " is empty");
    *out = *std::move(pem);
  }
  return tls;
}

RotatingServer::RotatingServer(std::string tls_dir, http::ServerOptions options,
                               http::Handler handler)
    : tls_dir_(std::move(tls_dir)), options_(std::move(options)), handler_(std::move(handler)) {}

Result<std::unique_ptr<RotatingServer>> RotatingServer::Start(std::string tls_dir,
                                                              http::ServerOptions options,
                                                              http::Handler handler,
                                                              Duration interval) {
  std::unique_ptr<RotatingServer> made(
      new RotatingServer(std::move(tls_dir), std::move(options), std::move(handler)));
  ENVICUTOR_ASSIGN(made->options_.tls, ReadTls(made->tls_dir_));
  ENVICUTOR_ASSIGN(made->server_, http::StartServer(made->options_, made->handler_));
  made->port_ = made->server_->port();
  made->options_.port = made->port_;
  made->thread_ = std::jthread([server = made.get(), interval](const std::stop_token& stop) {
    server->Run(stop, interval);
  });
  return made;
}

RotatingServer::~RotatingServer() { Stop(std::chrono::milliseconds(0)); }

void RotatingServer::Stop(std::chrono::milliseconds grace) {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  if (server_) server_->Stop(grace);
}

void RotatingServer::Run(const std::stop_token& stop, Duration interval) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, interval, [] { return false; });
    }
    if (!stop.stop_requested()) Look();
  }
}

void RotatingServer::Look() {
  Result<http::TlsServerOptions> tls = ReadTls(tls_dir_);
  if (tls.ok() && server_ && Same(*tls, *options_.tls)) {
    complained_.clear();
    return;
  }
  // Seen amid a renewal they may not fit together; the next look sees them all.
  const Status good = tls.ok() ? Try(*tls) : tls.status();
  if (!good.ok()) {
    if (complained_ != good.message()) {
      log::Warn("the new certificates cannot be used; the old ones serve on",
                {{"dir", tls_dir_}, {"error", good.ToString()}});
    }
    complained_ = good.message();
    return;
  }
  if (server_) server_->Stop(kSwitchGrace);
  server_ = nullptr;
  options_.tls = *std::move(tls);
  Result<std::unique_ptr<http::Server>> started = http::StartServer(options_, handler_);
  if (!started.ok()) {
    log::Error("not listening with the new certificates, trying again",
               {{"error", started.status().ToString()}});
    return;
  }
  server_ = *std::move(started);
  complained_.clear();
  log::Info("new certificates serve", {{"dir", tls_dir_}});
}

}  // namespace envicutor::agent

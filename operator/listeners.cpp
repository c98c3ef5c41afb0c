#include <charconv>
#include <functional>

#include "common/http/server.h"
#include "operator/app.h"

namespace envicutor::op {
namespace {

class HttpListeners final : public Listeners {
 public:
  std::unique_ptr<http::Server> probes;
  std::unique_ptr<http::Server> metrics;
};

// "0.0.0.0:8081", checked by ParseOptions.
http::ServerOptions OptionsFor(const std::string& address) {
  http::ServerOptions options;
  const size_t colon = address.rfind(':');
  options.address = address.substr(0, colon);
  unsigned port = 0;
  std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
  options.port = static_cast<uint16_t>(port);
  options.handler_threads = 1;
  options.max_connections = 64;
  options.max_body_bytes = 1024;
  return options;
}

http::Response Text(int status, std::string body) {
  http::Response response;
  response.status = status;
  response.headers.Set("Content-Type", "text/plain; charset=utf-8");
  response.body = std::move(body);
  return response;
}

}  // namespace

Result<std::unique_ptr<Listeners>> StartListeners(const ListenOptions& options,
                                                  metrics::Registry& registry,
                                                  std::function<bool()> ready) {
  auto listeners = std::make_unique<HttpListeners>();
  if (!options.probes.empty()) {
    Result<std::unique_ptr<http::Server>> server = http::StartServer(
        OptionsFor(options.probes),
        [ready = std::move(ready)](const http::ServerRequest& request,
                                   const std::shared_ptr<http::ResponseWriter>& writer) {
          if (request.path == "/healthz" || request.path == "/livez") {
            writer->Send(Text(200, "ok\n"));
          } else if (request.path == "/readyz") {
            const bool is_ready = ready();
            writer->Send(
                Text(is_ready ? 200 : 503, is_ready ? "ok\n"
                                                    : "the lease cannot be reached or the caches "
                                                      "are not filled yet; the log says which\n"));
          } else {
            writer->Send(Text(404, "not found\n"));
          }
        });
    if (!server.ok()) return server.status().WithContext("probes on " + options.probes);
    listeners->probes = std::move(server).value();
  }
  if (!options.metrics.empty()) {
    Result<std::unique_ptr<http::Server>> server =
        http::StartServer(OptionsFor(options.metrics),
                          [&registry](const http::ServerRequest& request,
                                      const std::shared_ptr<http::ResponseWriter>& writer) {
                            if (request.path != "/metrics") {
                              writer->Send(Text(404, "not found\n"));
                              return;
                            }
                            http::Response response = Text(200, registry.Render());
                            response.headers.Set("Content-Type", metrics::kContentType);
                            writer->Send(std::move(response));
                          });
    if (!server.ok()) return server.status().WithContext("metrics on " + options.metrics);
    listeners->metrics = std::move(server).value();
  }
  return std::unique_ptr<Listeners>(std::move(listeners));
}

}  // namespace envicutor::op

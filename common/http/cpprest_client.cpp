#include "common/http/cpprest_client.h"

#include <cpprest/http_client.h>
#include <pplx/threadpool.h>

#include <mutex>
#include <utility>
#include <vector>

#include "common/http/tls_context.h"
#include "common/http/transfer.h"

// What cpprestsdk does not let us bound or change: a response's header and each of its chunks are
// read whole before we see them; sockets are not CLOEXEC; a request whose pooled connection was
// closed by the server before the status line is sent again on a new one, POST too; IPv6 literals
// in URLs do not resolve.

namespace envicutor::http {
namespace {

namespace web_http = web::http;
namespace streams = concurrency::streams;

// The library's own idle timer must never fire before ours.
constexpr std::chrono::hours kLibraryTimeout{24};
// Shared by all clients of the process. Nothing of ours blocks on it.
constexpr size_t kLibraryThreads = 4;

// Where the library puts a body: straight into the transfer, write-only.
class TransferBuffer final : public streams::details::basic_streambuf<uint8_t> {
 public:
  explicit TransferBuffer(std::shared_ptr<Transfer> transfer) : transfer_(std::move(transfer)) {}

  [[nodiscard]] bool can_write() const override { return true; }
  [[nodiscard]] bool is_open() const override { return true; }
  pplx::task<size_t> putn_nocopy(const uint8_t* bytes, size_t count) override {
    const bool full = transfer_->OnData({reinterpret_cast<const char*>(bytes), count});
    if (!full) return pplx::task_from_result(count);
    // The library reads on when this task is done: the socket's buffer, and so the server, wait.
    pplx::task_completion_event<size_t> drained;
    transfer_->NotifyWhenDrained([drained, count] { drained.set(count); });
    return pplx::create_task(drained);
  }
  pplx::task<size_t> putn(const uint8_t* bytes, size_t count) override {
    return putn_nocopy(bytes, count);
  }
  pplx::task<int_type> putc(uint8_t byte) override {
    return putn_nocopy(&byte, 1).then([byte](size_t) { return static_cast<int_type>(byte); });
  }
  pplx::task<void> sync() override { return pplx::task_from_result(); }
  pplx::task<void> close(std::ios_base::openmode) override { return pplx::task_from_result(); }
  pplx::task<void> close(std::ios_base::openmode, std::exception_ptr) override {
    return pplx::task_from_result();
  }
  [[nodiscard]] std::exception_ptr exception() const override { return nullptr; }

  // The rest of the interface is for reading and seeking.
  [[nodiscard]] bool can_read() const override { return false; }
  [[nodiscard]] bool can_seek() const override { return false; }
  [[nodiscard]] bool has_size() const override { return false; }
  [[nodiscard]] bool is_eof() const override { return true; }
  [[nodiscard]] size_t buffer_size(std::ios_base::openmode) const override { return 0; }
  void set_buffer_size(size_t, std::ios_base::openmode) override {}
  [[nodiscard]] size_t in_avail() const override { return 0; }
  pplx::task<int_type> bumpc() override { return Eof(); }
  int_type sbumpc() override { return traits::eof(); }
  pplx::task<int_type> getc() override { return Eof(); }
  int_type sgetc() override { return traits::eof(); }
  pplx::task<int_type> nextc() override { return Eof(); }
  pplx::task<int_type> ungetc() override { return Eof(); }
  pplx::task<size_t> getn(uint8_t*, size_t) override { return pplx::task_from_result(size_t{0}); }
  size_t scopy(uint8_t*, size_t) override { return 0; }
  [[nodiscard]] pos_type getpos(std::ios_base::openmode) const override { return traits::eof(); }
  [[nodiscard]] utility::size64_t size() const override { return 0; }
  pos_type seekpos(pos_type, std::ios_base::openmode) override { return traits::eof(); }
  pos_type seekoff(off_type, std::ios_base::seekdir, std::ios_base::openmode) override {
    return traits::eof();
  }
  uint8_t* alloc(size_t) override { return nullptr; }
  void commit(size_t) override {}
  bool acquire(uint8_t*&, size_t&) override { return false; }
  void release(uint8_t*, size_t) override {}

 private:
  static pplx::task<int_type> Eof() {
    return pplx::task_from_result(static_cast<int_type>(traits::eof()));
  }
  std::shared_ptr<Transfer> transfer_;
};

// Why the last server certificate was refused: the library only says "Error in SSL handshake".
class Refusal {
 public:
  void Set(std::string reason) {
    const std::scoped_lock lock(mutex_);
    reason_ = std::move(reason);
  }
  std::string Take() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(reason_, {});
  }

 private:
  std::mutex mutex_;
  std::string reason_;
};

Status ToStatus(std::exception_ptr error, Refusal& refusal) {
  try {
    std::rethrow_exception(std::move(error));
  } catch (const web_http::http_exception& e) {
    const std::string reason = refusal.Take();
    return Unavailable(reason.empty() ? e.what() : std::string(e.what()) + ": " + reason);
  } catch (const std::exception& e) {
    return Unavailable(e.what());
  } catch (...) {
    return Unavailable("unknown failure");
  }
}

// Runs on the library's threads. Both continuations look at their task's outcome: a failed task
// that nobody looks at ends the process.
void Follow(const pplx::task<web_http::http_response>& task,
            const std::shared_ptr<Transfer>& transfer, const std::shared_ptr<Refusal>& refusal) {
  task.then([transfer, refusal](const pplx::task<web_http::http_response>& headers) {
    try {
      const web_http::http_response response = headers.get();
      Headers fields;
      for (const auto& [name, value] : response.headers()) fields.Add(name, value);
      transfer->OnHeaders(response.status_code(), std::move(fields));
      response.content_ready().then(
          [transfer, refusal](const pplx::task<web_http::http_response>& body) {
            try {
              body.wait();
              transfer->OnEnd(OkStatus());
            } catch (...) {
              transfer->OnEnd(ToStatus(std::current_exception(), *refusal));
            }
          });
    } catch (...) {
      transfer->OnEnd(ToStatus(std::current_exception(), *refusal));
    }
  });
}

class CpprestClient final : public Client {
 public:
  CpprestClient(ClientOptions options, const web::uri& base,
                const web_http::client::http_client_config& config,
                std::shared_ptr<Refusal> refusal)
      : options_(std::move(options)), refusal_(std::move(refusal)), client_(base, config) {}

  Result<Response> Send(const Request& request, std::stop_token stop) override {
    return Run(request, Transfer::Mode::kWhole, nullptr, options_.timeout, stop);
  }

  Result<Response> Stream(const Request& request, const OnData& on_data,
                          std::chrono::seconds idle_timeout, std::stop_token stop) override {
    return Run(request, Transfer::Mode::kPieces, &on_data, idle_timeout, stop);
  }

 private:
  // Ends what the library still does for a request when its caller leaves, in whatever way.
  struct Guard {
    std::shared_ptr<Transfer> transfer;
    pplx::cancellation_token_source cancellation;
    bool finished = false;

    Guard(std::shared_ptr<Transfer> t) : transfer(std::move(t)) {}
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    ~Guard() {
      if (!finished) cancellation.cancel();  // closes the connection: it cannot be used again
      transfer->Abandon();
    }
  };

  Result<Response> Run(const Request& request, Transfer::Mode mode, const OnData* on_data,
                       std::chrono::milliseconds idle, const std::stop_token& stop) {
    const std::string where = request.method + " " + options_.base_url + Path(request.target);
    if (stop.stop_requested()) return Status(Code::kCancelled, where + ": cancelled");
    Guard guard(std::make_shared<Transfer>(mode, options_.max_response_bytes));
    const std::shared_ptr<Transfer>& transfer = guard.transfer;
    const std::stop_callback on_stop(stop, [&transfer] { transfer->Cancel(); });
    ENVICUTOR_RETURN_IF_ERROR(Start(request, guard).WithContext(where));

    std::string refused_body;  // of a stream's answer that is not 2xx
    for (;;) {
      std::string data;
      switch (transfer->Wait(idle, &data)) {
        case Transfer::Event::kCancelled:
          return Status(Code::kCancelled, where + ": cancelled");
        case Transfer::Event::kIdle:
          return Status(Code::kDeadlineExceeded,
                        where + ": nothing happened for " + std::to_string(idle.count()) + " ms");
        case Transfer::Event::kData:
          if (transfer->response().status / 100 == 2) {
            if (!(*on_data)(data)) return Taken(transfer->response());
          } else if (refused_body.size() + data.size() > options_.max_response_bytes) {
            return ResourceExhausted(where + ": the response is too large");
          } else {
            refused_body += data;
          }
          break;
        case Transfer::Event::kEnd:
          if (!transfer->status().ok()) return transfer->status().WithContext(where);
          guard.finished = true;
          if (mode == Transfer::Mode::kPieces) transfer->response().body = std::move(refused_body);
          return std::move(transfer->response());
      }
    }
  }

  static Response Taken(const Response& response) {
    return {response.status, response.headers, ""};
  }

  Status Start(const Request& request, Guard& guard) {
    try {
      web_http::http_request message(request.method);
      message.set_request_uri(web::uri(request.target));
      for (const auto& [name, value] : request.headers.fields()) message.headers().add(name, value);
      if (!request.body.empty()) {
        // As bytes: for text the library views its own buffer as an object of another type.
        message.set_body(std::vector<uint8_t>(request.body.begin(), request.body.end()));
      }
      message.set_response_stream(streams::ostream(
          streams::streambuf<uint8_t>(std::make_shared<TransferBuffer>(guard.transfer))));
      message.set_progress_handler(
          [transfer = guard.transfer](web_http::message_direction::direction, utility::size64_t) {
            transfer->Touch();
          });
      Follow(client_.request(message, guard.cancellation.get_token()), guard.transfer, refusal_);
      return OkStatus();
    } catch (const web::uri_exception& error) {
      return InvalidArgument(std::string("bad request target: ") + error.what());
    } catch (const std::exception& error) {
      return Unavailable(error.what());
    }
  }

  // Without the query: it may hold long selectors.
  static std::string Path(const std::string& target) { return target.substr(0, target.find('?')); }

  const ClientOptions options_;
  const std::shared_ptr<Refusal> refusal_;
  web_http::client::http_client client_;
};

void StartLibraryThreads() {
  static std::once_flag once;
  std::call_once(once, [] {
    // OpenSSL before the library's threads: what starts first ends last, and threads that outlive
    // OpenSSL cannot give back what it keeps for each of them.
    OPENSSL_init_ssl(0, nullptr);
    try {
      crossplat::threadpool::initialize_with_threads(kLibraryThreads);
    } catch (const std::exception&) {
      // Someone in this process used the library before us: its own default number then.
    }
  });
}

}  // namespace

Result<std::unique_ptr<Client>> NewCpprestClient(const ClientOptions& options) {
  StartLibraryThreads();
  try {
    const web::uri base(options.base_url);
    if (base.scheme() != "http" && base.scheme() != "https") {
      return InvalidArgument("\"" + options.base_url + "\" is not an http or https URL");
    }
    auto refusal = std::make_shared<Refusal>();
    web_http::client::http_client_config config;
    config.set_timeout(kLibraryTimeout);
    config.set_max_redirects(0);
    if (base.scheme() == "https") {
      const std::string& host = base.host();
      const auto configure = [tls = options.tls, host, refusal](SSL_CTX* context) {
        return ConfigureClientContext(context, tls, host,
                                      [refusal](std::string why) { refusal->Set(std::move(why)); });
      };
      // Once now, so that bad PEM is an error here and not at the first request.
      boost::asio::ssl::context probe(boost::asio::ssl::context::tls_client);
      ENVICUTOR_RETURN_IF_ERROR(configure(probe.native_handle()));
      config.set_ssl_context_callback([configure](boost::asio::ssl::context& context) {
        const Status configured = configure(context.native_handle());
        if (!configured.ok()) throw std::runtime_error(configured.message());
      });
      // The library would send the URL's host as SNI: not when it is an address or not the name we
      // expect.
      const std::string& name = options.tls.expected_name;
      config.set_tlsext_sni_enabled(!IsIpAddress(host) && (name.empty() || name == host));
    }
    return std::unique_ptr<Client>(std::make_unique<CpprestClient>(options, base, config, refusal));
  } catch (const std::exception& error) {
    return InvalidArgument("\"" + options.base_url + "\": " + error.what());
  }
}

}  // namespace envicutor::http

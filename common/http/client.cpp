#include "common/http/client.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "common/http/connection_pool.h"
#include "common/http/cpprest_client.h"
#include "common/http/response_reader.h"
#include "common/http/tls_context.h"

namespace envicutor::http {
namespace {

// A body up to this size is copied behind the header: one system call, and few TLS records.
constexpr size_t kJoinBytes = 64U << 10U;

bool IsVisible(char c) { return c > ' ' && c != '\x7f'; }  // char is signed: no UTF-8 either

bool IsName(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return IsVisible(c) &&
           std::string_view("()<>@,;:\\\"/[]?={}").find(c) == std::string_view::npos;
  });
}

bool IsOurs(std::string_view name) {
  return EqualsIgnoreCase(name, "Content-Length") || EqualsIgnoreCase(name, "Transfer-Encoding") ||
         EqualsIgnoreCase(name, "Connection");
}

// To carry it out twice is as good as once (RFC 9110, 9.2.2).
bool IsIdempotent(const std::string& method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS";
}

bool HasBody(const Request& request) {
  return !request.body.empty() || request.method == "POST" || request.method == "PUT" ||
         request.method == "PATCH";
}

// The header, and the body too when it is small. InvalidArgument: it would not be one request.
Result<std::string> Serialize(const Request& request, const Origin& origin) {
  if (!IsName(request.method)) return InvalidArgument("bad request method");
  if (!std::all_of(request.target.begin(), request.target.end(), IsVisible)) {
    return InvalidArgument("bad request target: a character that must be percent-encoded");
  }
  std::string out;
  out.reserve(512 + request.target.size() +
              (request.body.size() <= kJoinBytes ? request.body.size() : 0));
  out.append(request.method).append(" ");
  if (!request.target.starts_with('/')) out += '/';
  out.append(request.target).append(" HTTP/1.1\r\nHost: ").append(origin.host_header);
  out += "\r\n";
  for (const auto& [name, value] : request.headers.fields()) {
    if (IsOurs(name)) continue;
    if (!IsName(name) || value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
      return InvalidArgument("bad request header \"" + name + "\"");
    }
    out.append(name).append(": ").append(value).append("\r\n");
  }
  if (HasBody(request)) {
    out.append("Content-Length: ").append(std::to_string(request.body.size())).append("\r\n");
  }
  out += "\r\n";
  if (request.body.size() <= kJoinBytes) out += request.body;
  return out;
}

class PooledClient final : public Client {
 public:
  PooledClient(ClientOptions options, Origin origin, SslContextPtr context)
      : options_(std::move(options)), origin_(std::move(origin)), context_(std::move(context)) {
    const std::string& name = options_.tls.expected_name;
    send_name_ = !IsIpAddress(origin_.host) && (name.empty() || name == origin_.host);
  }

  Result<Response> Send(const Request& request, std::stop_token stop) override {
    return Run(request, nullptr, options_.timeout, std::move(stop));
  }

  Result<Response> Stream(const Request& request, const OnData& on_data,
                          std::chrono::seconds idle_timeout, std::stop_token stop) override {
    return Run(request, &on_data, idle_timeout, std::move(stop));
  }

 private:
  Result<Response> Run(const Request& request, const OnData* on_data,
                       std::chrono::milliseconds idle, std::stop_token stop) {
    Result<Response> response = TryRun(request, on_data, idle, std::move(stop));
    if (response.ok()) return response;
    // Without the query: it may hold long selectors.
    return response.status().WithContext(request.method + " " + options_.base_url +
                                         request.target.substr(0, request.target.find('?')));
  }

  Result<Response> TryRun(const Request& request, const OnData* on_data,
                          std::chrono::milliseconds idle, std::stop_token stop) {
    if (stop.stop_requested()) return Status(Code::kCancelled, "cancelled");
    ENVICUTOR_ASSIGN(const std::string bytes, Serialize(request, origin_));
    const Waiter waiter(std::move(stop), idle);
    if (std::unique_ptr<Connection> kept = pool_.Take()) {
      bool again = false;
      Result<Response> response =
          Exchange(std::move(kept), request, bytes, on_data, waiter, &again);
      if (!again) return response;
    }
    ENVICUTOR_ASSIGN(std::unique_ptr<Connection> fresh,
                     Connection::Open(origin_, context_.get(), send_name_, waiter));
    return Exchange(std::move(fresh), request, bytes, on_data, waiter, nullptr);
  }

  // One request on one connection. `again`, for a connection that was kept: the server had closed
  // it, nothing was answered, and to send the request once more does no harm: it is idempotent, or
  // none of it left us.
  Result<Response> Exchange(std::unique_ptr<Connection> connection, const Request& request,
                            const std::string& bytes, const OnData* on_data, const Waiter& waiter,
                            bool* again) {
    const uint64_t sent_before = connection->sent();
    Status written = connection->Write(bytes, waiter);
    if (written.ok() && request.body.size() > kJoinBytes) {
      written = connection->Write(request.body, waiter);
    }
    const bool none_sent = connection->sent() == sent_before;
    ResponseReader reader(request.method == "HEAD", on_data == nullptr
                                                        ? options_.max_response_bytes
                                                        : ResponseReader::kAnyLength);
    Result<Response> response = written.ok() ? Unavailable("no answer") : written;
    // A server may refuse a large body before it has all of it, and close: its answer says why.
    if (written.ok() || (written.code() == Code::kUnavailable && !none_sent)) {
      response = Receive(*connection, reader, on_data, waiter);
    }
    if (response.ok()) {
      if (written.ok() && reader.done() && reader.reusable()) pool_.Give(std::move(connection));
      return response;
    }
    if (response.status().code() != Code::kUnavailable || reader.touched()) return response;
    if (!written.ok()) response = written.WithContext("the request could not be sent");
    if (none_sent || IsIdempotent(request.method)) {
      if (again != nullptr) *again = true;
      return response;
    }
    return Unavailable(response.status().message() +
                       "; whether the request was carried out is not known");
  }

  Result<Response> Receive(Connection& connection, ResponseReader& reader, const OnData* on_data,
                           const Waiter& waiter) const {
    std::string refusal;  // the body of a stream's answer that is not 2xx
    do {
      ENVICUTOR_RETURN_IF_ERROR(reader.Step(connection, waiter));
      if (on_data == nullptr || !reader.header_done() || reader.body().empty()) continue;
      if (reader.status() / 100 == 2) {
        if (!(*on_data)(reader.body())) return Response{reader.status(), reader.TakeHeaders(), ""};
      } else {
        if (refusal.size() + reader.body().size() > options_.max_response_bytes) {
          return ResourceExhausted("the response is larger than " +
                                   std::to_string(options_.max_response_bytes) + " bytes");
        }
        refusal += reader.body();
      }
      reader.body().clear();
    } while (!reader.done());
    Response response{reader.status(), reader.TakeHeaders(), std::move(refusal)};
    if (on_data == nullptr) response.body = std::move(reader.body());
    return response;
  }

  const ClientOptions options_;
  const Origin origin_;
  const SslContextPtr context_;  // nullptr: plain
  bool send_name_ = false;       // as SNI
  ConnectionPool pool_;
};

}  // namespace

Result<std::unique_ptr<Client>> NewClient(const ClientOptions& options) {
  ENVICUTOR_ASSIGN(Origin origin, ParseOrigin(options.base_url));
  if (options.transport == ClientOptions::Transport::kCpprest) return NewCpprestClient(options);
  SslContextPtr context;
  if (origin.tls) {
    ENVICUTOR_ASSIGN(context, NewClientContext(options.tls, origin));
  }
  return std::unique_ptr<Client>(
      std::make_unique<PooledClient>(options, std::move(origin), std::move(context)));
}

}  // namespace envicutor::http

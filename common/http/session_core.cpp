#include "common/http/session_core.h"

#include <utility>

#include "common/http/target.h"

namespace envicutor::http {
namespace {

class Writer final : public ResponseWriter {
 public:
  Writer(std::shared_ptr<SessionBase> session, uint64_t number)
      : session_(std::move(session)), number_(number) {}
  ~Writer() override { WakeIf(session_->exchange.Abandon(number_)); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  void Send(Response response) override {
    WakeIf(session_->exchange.Send(number_, std::move(response)));
  }
  void StartStream(int status, Headers headers) override {
    WakeIf(session_->exchange.StartStream(number_, status, headers));
  }
  bool Write(std::string chunk) override {
    bool accepted = false;
    WakeIf(session_->exchange.Write(number_, std::move(chunk), &accepted));
    return accepted;
  }
  void Finish() override { WakeIf(session_->exchange.Finish(number_)); }
  void OnClose(std::function<void()> callback) override {
    if (!session_->exchange.OnClose(number_, callback)) callback();
  }

 private:
  void WakeIf(bool needed) {
    if (needed) session_->Wake();
  }

  std::shared_ptr<SessionBase> session_;
  uint64_t number_;
};

}  // namespace

std::string ServerRequest::Query(const std::string& key, std::string fallback) const {
  const auto it = query.find(key);
  if (it != query.end()) return it->second;
  return fallback;
}

Result<ServerRequest> MakeServerRequest(std::string method, std::string_view target,
                                        const std::function<void(Headers&)>& add_headers,
                                        std::string body, const std::optional<PeerIdentity>& peer,
                                        const std::string& remote_address) {
  ENVICUTOR_ASSIGN(Target parsed, ParseTarget(target));
  ServerRequest request;
  request.method = std::move(method);
  request.path = std::move(parsed.path);
  request.query = std::move(parsed.query);
  add_headers(request.headers);
  request.body = std::move(body);
  request.peer = peer;
  request.remote_address = remote_address;
  return request;
}

std::shared_ptr<ResponseWriter> NewWriter(std::shared_ptr<SessionBase> session, uint64_t number) {
  return std::make_shared<Writer>(std::move(session), number);
}

}  // namespace envicutor::http

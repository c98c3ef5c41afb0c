// A scripted API server on our own HTTP server: one collection in memory with resourceVersions,
// watches that the test can cut or expire, and answers that the test can put in front.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/base/json.h"
#include "common/http/server.h"
#include "common/kube/client.h"

namespace envicutor::kube {

class ScriptedApi {
 public:
  ScriptedApi();

  [[nodiscard]] ClientConfig Config() const;
  [[nodiscard]] std::unique_ptr<Client> NewClient() const;

  // Changes made by "others": seen by watches unless `silently`.
  void Put(const std::string& name, const Json& spec, bool silently = false);
  void Remove(const std::string& name, bool silently = false);
  [[nodiscard]] Json Stored(const std::string& name);

  // The next request whose method and path-with-query contain `method` and `part` gets this answer.
  void AnswerNext(const std::string& method, const std::string& part, http::Response answer);
  void SendToWatches(const Json& event);
  void CutWatches();     // the connection breaks
  void FinishWatches();  // in order, as after timeoutSeconds
  // Watches from a version before the current one get 410.
  void Compact();

  // Waits, at most 10 s, until so many requests of that kind ("list", "watch", "create", "update",
  // "patch", "delete", "get") have come in all.
  bool WaitFor(const std::string& kind, int count);
  // ... and so many watches are open now.
  bool WaitForOpenWatches(size_t count);
  [[nodiscard]] int Count(const std::string& kind);
  [[nodiscard]] std::vector<http::ServerRequest> Requests();
  void Stop() { server_->Stop(std::chrono::milliseconds(0)); }

 private:
  using Writer = std::shared_ptr<http::ResponseWriter>;
  struct Canned {
    std::string method;
    std::string part;
    http::Response answer;
  };

  void Handle(const http::ServerRequest& request, const Writer& writer);
  void List(const http::ServerRequest& request, const Writer& writer);
  void Watch(const http::ServerRequest& request, const Writer& writer);
  void Write(const http::ServerRequest& request, const Writer& writer);
  void Note(const std::string& kind);
  void Emit(const char* type, const Json& object);
  Json Store(const std::string& name, Json object);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Json> objects_;
  std::map<std::string, int> counts_;
  std::vector<http::ServerRequest> requests_;
  std::vector<Json> log_;  // events, each with its version
  std::vector<int> log_versions_;
  std::vector<Writer> watches_;
  std::deque<Canned> canned_;
  int version_ = 100;
  int compacted_ = 0;
  int next_uid_ = 1;
  std::unique_ptr<http::Server> server_;
};

}  // namespace envicutor::kube

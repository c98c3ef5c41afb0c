#include "tests/unit/kube/scripted_api.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace envicutor::kube {
namespace {

void Answer(const std::shared_ptr<http::ResponseWriter>& writer, int status, const Json& body) {
  writer->Send({status, {{"Content-Type", "application/json"}}, DumpJson(body)});
}

void Refuse(const std::shared_ptr<http::ResponseWriter>& writer, int status,
            const std::string& reason) {
  Answer(writer, status,
         {{"kind", "Status"},
          {"status", "Failure"},
          {"reason", reason},
          {"message", reason + "!"},
          {"code", status}});
}

std::string LastSegment(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool IsCollection(const std::string& path) {
  static const std::set<std::string> kPlurals = {"pods", "events", "leases", "runtimes",
                                                 "submissions"};
  return kPlurals.contains(LastSegment(path));
}

std::string ObjectName(std::string path) {
  if (path.ends_with("/status")) path.resize(path.size() - 7);
  return LastSegment(path);
}

}  // namespace

ScriptedApi::ScriptedApi() {
  auto server = http::StartServer({}, [this](const http::ServerRequest& request,
                                             const Writer& writer) { Handle(request, writer); });
  EXPECT_TRUE(server.ok()) << server.status().ToString();
  server_ = std::move(server).value();
}

ClientConfig ScriptedApi::Config() const {
  ClientConfig config;
  config.server = "http://127.0.0.1:" + std::to_string(server_->port());
  return config;
}

std::unique_ptr<Client> ScriptedApi::NewClient() const {
  auto client = kube::NewClient(Config());
  EXPECT_TRUE(client.ok()) << client.status().ToString();
  return std::move(client).value();
}

Json ScriptedApi::Store(const std::string& name, Json object) {
  auto& metadata = object["metadata"];
  metadata["name"] = name;
  metadata["resourceVersion"] = std::to_string(++version_);
  if (!metadata.contains("uid")) {
    const auto it = objects_.find(name);
    metadata["uid"] =
        it == objects_.end() ? "uid-" + std::to_string(next_uid_++) : UidOf(it->second);
  }
  metadata["managedFields"] = Json::array({{{"manager", "test"}}});
  objects_[name] = object;
  return object;
}

void ScriptedApi::Put(const std::string& name, const Json& spec, bool silently) {
  const std::scoped_lock lock(mutex_);
  const bool known = objects_.contains(name);
  const Json object = Store(name, {{"spec", spec}});
  if (!silently) Emit(known ? "MODIFIED" : "ADDED", object);
}

void ScriptedApi::Remove(const std::string& name, bool silently) {
  const std::scoped_lock lock(mutex_);
  Json object = objects_.at(name);
  objects_.erase(name);
  object["metadata"]["resourceVersion"] = std::to_string(++version_);
  if (!silently) Emit("DELETED", object);
}

Json ScriptedApi::Stored(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  const auto it = objects_.find(name);
  return it == objects_.end() ? Json() : it->second;
}

void ScriptedApi::AnswerNext(const std::string& method, const std::string& part,
                             http::Response answer) {
  const std::scoped_lock lock(mutex_);
  canned_.push_back({method, part, std::move(answer)});
}

void ScriptedApi::Emit(const char* type, const Json& object) {
  log_.push_back({{"type", type}, {"object", object}});
  log_versions_.push_back(version_);
  for (const Writer& writer : watches_) writer->Write(DumpJson(log_.back()) + "\n");
}

void ScriptedApi::SendToWatches(const Json& event) {
  const std::scoped_lock lock(mutex_);
  for (const Writer& writer : watches_) writer->Write(DumpJson(event) + "\n");
}

void ScriptedApi::CutWatches() {
  const std::scoped_lock lock(mutex_);
  watches_.clear();  // a stream without Finish is cut
}

void ScriptedApi::FinishWatches() {
  const std::scoped_lock lock(mutex_);
  for (const Writer& writer : watches_) writer->Finish();
  watches_.clear();
}

void ScriptedApi::Compact() {
  const std::scoped_lock lock(mutex_);
  compacted_ = version_;
}

void ScriptedApi::Note(const std::string& kind) {
  ++counts_[kind];
  changed_.notify_all();
}

bool ScriptedApi::WaitFor(const std::string& kind, int count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return counts_[kind] >= count; });
}

bool ScriptedApi::WaitForOpenWatches(size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10),
                           [&] { return watches_.size() >= count; });
}

int ScriptedApi::Count(const std::string& kind) {
  const std::scoped_lock lock(mutex_);
  return counts_[kind];
}

std::vector<http::ServerRequest> ScriptedApi::Requests() {
  const std::scoped_lock lock(mutex_);
  return requests_;
}

void ScriptedApi::Handle(const http::ServerRequest& request, const Writer& writer) {
  const std::scoped_lock lock(mutex_);
  requests_.push_back(request);
  std::string all = request.path;
  for (const auto& [key, value] : request.query) all += "&" + key + "=" + value;
  const auto canned = std::find_if(canned_.begin(), canned_.end(), [&](const Canned& c) {
    return c.method == request.method && all.find(c.part) != std::string::npos;
  });
  const bool is_watch = request.Query("watch") == "1";
  const bool is_list = IsCollection(request.path) && !is_watch && request.method == "GET";
  const auto note = [&] {
    static const std::map<std::string, std::string> kVerbs = {
        {"POST", "create"}, {"PUT", "update"}, {"PATCH", "patch"}, {"DELETE", "delete"}};
    Note(is_watch                          ? "watch"
         : is_list                         ? "list"
         : kVerbs.contains(request.method) ? kVerbs.at(request.method)
                                           : "get");
  };
  if (canned != canned_.end()) {
    writer->Send(canned->answer);
    canned_.erase(canned);
    return note();
  }
  if (is_watch) {
    Watch(request, writer);
  } else if (is_list) {
    List(request, writer);
  } else {
    Write(request, writer);
  }
  note();
}

void ScriptedApi::List(const http::ServerRequest& request, const Writer& writer) {
  const auto limit = static_cast<size_t>(std::stoul(request.Query("limit", "0")));
  const std::string after = request.Query("continue");
  Json items = Json::array();
  Json metadata = {{"resourceVersion", std::to_string(version_)}};
  for (const auto& [name, object] : objects_) {
    if (!after.empty() && name <= after) continue;
    if (limit > 0 && items.size() == limit) {
      metadata["continue"] = items.back()["metadata"]["name"];
      break;
    }
    items.push_back(object);
  }
  Answer(writer, 200, {{"kind", "List"}, {"metadata", metadata}, {"items", items}});
}

void ScriptedApi::Watch(const http::ServerRequest& request, const Writer& writer) {
  const int from = std::stoi(request.Query("resourceVersion", "0"));
  writer->StartStream(200, {{"Content-Type", "application/json"}});
  if (from < compacted_) {
    writer->Write(DumpJson({{"type", "ERROR"},
                            {"object",
                             {{"kind", "Status"},
                              {"code", 410},
                              {"reason", "Expired"},
                              {"message", "too old resource version"}}}}) +
                  "\n");
    writer->Finish();
    return;
  }
  for (size_t i = 0; i < log_.size(); ++i) {
    if (log_versions_[i] > from) writer->Write(DumpJson(log_[i]) + "\n");
  }
  watches_.push_back(writer);
  changed_.notify_all();
}

void ScriptedApi::Write(const http::ServerRequest& request, const Writer& writer) {
  const std::string name = ObjectName(request.path);
  Json body = request.body.empty() ? Json::object() : Json::parse(request.body);
  if (request.method == "POST") {
    const std::string new_name = NameOf(body);
    if (objects_.contains(new_name)) return Refuse(writer, 409, "AlreadyExists");
    const Json stored = Store(new_name, body);
    Emit("ADDED", stored);
    return Answer(writer, 201, stored);
  }
  const auto it = objects_.find(name);
  if (it == objects_.end()) return Refuse(writer, 404, "NotFound");
  if (request.method == "GET") return Answer(writer, 200, it->second);
  if (request.method == "DELETE") {
    const Json gone = it->second;
    objects_.erase(it);
    ++version_;
    Emit("DELETED", gone);
    return Answer(writer, 200, {{"kind", "Status"}, {"status", "Success"}});
  }
  if (request.method == "PATCH") {
    Json merged = it->second;
    merged.merge_patch(body);
    body = merged;
  } else if (const std::string version = ResourceVersionOf(body);
             !version.empty() && version != ResourceVersionOf(it->second)) {
    return Refuse(writer, 409, "Conflict");
  }
  const Json stored = Store(name, body);
  Emit("MODIFIED", stored);
  Answer(writer, 200, stored);
}

}  // namespace envicutor::kube

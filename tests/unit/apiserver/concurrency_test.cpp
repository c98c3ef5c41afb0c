// Writers, readers and watchers at the same time: what each is told stays true together. Most is
// found by running this under ThreadSanitizer (the preset tsan).
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "common/http/client.h"
#include "standalone/apiserver/apiserver.h"
#include "standalone/apiserver/core/store.h"
#include "standalone/apiserver/storage/sqlite_storage.h"

namespace envicutor::standalone {
namespace {

class Folder {
 public:
  Folder() : path_(testing::TempDir() + "concurrency.XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) ADD_FAILURE() << path_;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// On a thread of its own, and every so many batches are refused.
class FlakyStorage final : public Storage {
 public:
  ~FlakyStorage() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  Result<StorageContent> Open(StorageListener* listener) override {
    listener_ = listener;
    thread_ = std::thread([this] { Run(); });
    return StorageContent{};
  }
  void Append(StorageWrite write) override {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(write.revision);
  }
  void Flush() override { changed_.notify_all(); }
  void Discard() override {
    const std::lock_guard lock(mutex_);
    waiting_.clear();
  }

 private:
  void Run() {
    constexpr int kRefusedOf = 5;
    std::unique_lock lock(mutex_);
    for (int batch = 1;; ++batch) {
      // Append does not wake: its Flush may have come before.
      changed_.wait_for(lock, std::chrono::milliseconds(1),
                        [this] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      if (waiting_.empty()) continue;
      const uint64_t last = waiting_.back();
      waiting_.clear();
      lock.unlock();
      if (batch % kRefusedOf == 0) {
        listener_->OnFailed(ResourceExhausted("disk full"));
      } else {
        listener_->OnDurable(last);
      }
      lock.lock();
    }
  }

  StorageListener* listener_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::vector<uint64_t> waiting_;
  std::thread thread_;
};

constexpr int kWriters = 6;
constexpr int kWrites = 150;
constexpr int kKeys = 8;  // few: writers meet
const std::vector<std::string> kResources = {"/a", "/b", "/c"};

// A crowd on one store; what it was told is checked at the end.
class Crowd {
 public:
  explicit Crowd(Store* store) : store_(store) {}

  void Run() {
    std::vector<std::thread> writers;
    std::vector<std::thread> others;
    for (int i = 0; i < kWriters; ++i) writers.emplace_back([this, i] { Write(i); });
    for (int i = 0; i < 2; ++i) others.emplace_back([this, i] { Read(i); });
    for (const std::string& resource : kResources) {
      others.emplace_back([this, resource] { Follow(resource); });
    }
    for (std::thread& thread : writers) thread.join();
    store_->Drain();
    done_ = true;
    for (std::thread& thread : others) thread.join();
    // Everybody was told once, and what is there is what was told.
    EXPECT_EQ(told_, begun_);
    EXPECT_EQ(published_, succeeded_);
    for (const std::string& resource : kResources) {
      for (const ObjectPtr& object : store_->List(resource, "").objects) {
        EXPECT_EQ(store_->GetHead(resource, object->Name()), object);
        EXPECT_TRUE(succeeded_.contains(object->revision)) << object->Text();
      }
    }
  }
  [[nodiscard]] size_t failed() const { return failed_; }

 private:
  void Write(int writer) {
    std::mt19937 random(static_cast<unsigned>(writer));
    for (int i = 0; i < kWrites; ++i) {
      StoreWrite write;
      write.resource = kResources[random() % kResources.size()];
      write.key = std::to_string(random() % kKeys);
      const bool waits = random() % 4 == 0;
      const bool deletes = random() % 4 == 0;
      std::shared_ptr<WriteTicket> ticket;
      while (ticket == nullptr) {
        write.expected = store_->GetHead(write.resource, write.key);
        if (!deletes || write.expected == nullptr) {
          Json json = write.expected == nullptr ? Json{{"metadata", {{"name", write.key}}}}
                                                : write.expected->Tree().Copy();
          json["metadata"]["labels"] = {{"writer", std::to_string(writer)}};
          json["value"] = i;
          write.object = DraftObject(std::move(json));
        } else {
          write.object.reset();
        }
        ticket = store_->Begin(&write);
      }
      ++begun_;
      const uint64_t revision = ticket->object()->revision;
      if (waits) {
        Told(revision, store_->Wait(ticket).kind == WriteOutcome::Kind::kDone);
      } else {
        store_->Then(ticket,
                     [this, revision](const Status& status) { Told(revision, status.ok()); });
      }
    }
  }

  void Told(uint64_t revision, bool ok) {
    if (ok) {
      EXPECT_GE(store_->PublishedRevision(), revision);
    }
    const std::lock_guard lock(mutex_);
    ++told_;
    if (ok) {
      EXPECT_TRUE(succeeded_.insert(revision).second);
    } else {
      ++failed_;
    }
  }

  void Read(int reader) {
    std::mt19937 random(static_cast<unsigned>(reader));
    while (!done_) {
      const std::string& resource = kResources[random() % kResources.size()];
      const std::string key = std::to_string(random() % kKeys);
      const ListSnapshot list = store_->List(resource, "");
      EXPECT_LE(store_->CountHead(resource, key, 1), 1U);
      EXPECT_GE(store_->HeldBytes(), list.objects.empty() ? 0U : 1U);
      if (const ObjectPtr object = store_->Get(resource, key)) {
        EXPECT_LE(object->revision, store_->PublishedRevision());
        EXPECT_EQ(object->Name(), key);
        if (random() % 2 == 0) object->DropTree();
        const JsonRef tree = object->Tree();
        EXPECT_EQ(DumpJson(*tree), object->Text());
        EXPECT_EQ(object->Labels(), At(*tree, {"metadata", "labels"}));
      }
      const auto then = store_->ListAt(resource, "", list.revision);
      ASSERT_TRUE(then.has_value());
      EXPECT_EQ(then->objects, list.objects);
    }
  }

  // Every change follows from the one before.
  void Follow(const std::string& resource) {
    uint64_t cursor = 1;
    std::map<std::string, ObjectPtr> state;
    while (true) {
      const bool last = done_;
      const ChangeBatch batch = store_->ChangesSince(resource, cursor, 7);
      ASSERT_FALSE(batch.expired);
      for (const Change& change : batch.changes) {
        ASSERT_GT(change.revision, cursor);
        cursor = change.revision;
        EXPECT_EQ(change.object->revision, cursor);
        EXPECT_EQ(change.previous, state[change.key]);
        state[change.key] = change.type == ChangeType::kDeleted ? nullptr : change.object;
        const std::lock_guard lock(mutex_);
        published_.insert(change.revision);
      }
      cursor = std::max(cursor, batch.up_to);
      if (last && batch.changes.empty()) break;
      std::this_thread::yield();
    }
    for (const ObjectPtr& object : store_->List(resource, "").objects) {
      EXPECT_EQ(state[object->Name()], object);
    }
  }

  Store* store_;
  std::atomic<bool> done_ = false;
  std::atomic<size_t> begun_ = 0;
  std::mutex mutex_;
  size_t told_ = 0;
  size_t failed_ = 0;
  std::set<uint64_t> succeeded_;
  std::set<uint64_t> published_;
};

TEST(StoreConcurrency, EverybodyIsToldOnceWhatIsThere) {
  const Folder folder;
  std::vector<std::string> before;
  {
    SqliteStorage storage(folder.path());
    Store store(&storage, 100'000);
    ASSERT_TRUE(store.Load().ok());
    Crowd crowd(&store);
    crowd.Run();
    EXPECT_EQ(crowd.failed(), 0U);
    EXPECT_LT(storage.transactions(), uint64_t{kWriters} * kWrites);
    for (const auto& object : store.List("/a", "").objects) before.push_back(object->Text());
  }
  SqliteStorage storage(folder.path());
  Store store(&storage, 10);
  ASSERT_TRUE(store.Load().ok());
  std::vector<std::string> after;
  for (const auto& object : store.List("/a", "").objects) after.push_back(object->Text());
  EXPECT_EQ(after, before);
}

TEST(StoreConcurrency, WhatTheDiskRefusesIsSeenByNobody) {
  FlakyStorage storage;
  Store store(&storage, 100'000);
  ASSERT_TRUE(store.Load().ok());
  Crowd crowd(&store);
  crowd.Run();
  EXPECT_GT(crowd.failed(), 0U);
}

// The same over HTTP: short writes on the I/O thread (Leases) beside those on handler threads
// (ConfigMaps), in several namespaces.
class ServerConcurrency : public testing::Test {
 protected:
  static constexpr int kRounds = 12;

  void SetUp() override {
    ApiServerOptions options;
    options.data_dir = folder_.path();
    options.allow_anonymous = true;
    options.namespaces = namespaces_;
    options.io_threads = 2;
    auto server = StartApiServer(options);
    ASSERT_TRUE(server.ok()) << server.status().ToString();
    server_ = std::move(server).value();
  }
  [[nodiscard]] std::unique_ptr<http::Client> NewClient() const {
    http::ClientOptions options;
    options.base_url = server_->url();
    auto client = http::NewClient(options);
    EXPECT_TRUE(client.ok());
    return std::move(client).value();
  }
  static std::string Collection(const std::string& ns, const std::string& kind) {
    return (kind == "leases" ? "/apis/coordination.k8s.io/v1/namespaces/" : "/api/v1/namespaces/") +
           ns + "/" + kind;
  }
  static http::Response Send(http::Client& client, const std::string& method,
                             const std::string& target, const std::string& body = "") {
    http::Request request;
    request.method = method;
    request.target = target;
    request.body = body;
    if (!body.empty()) {
      request.headers.Set("Content-Type",
                          method == "PATCH" ? "application/merge-patch+json" : "application/json");
    }
    auto response = client.Send(request);
    EXPECT_TRUE(response.ok()) << response.status().ToString();
    return response.ok() ? *response : http::Response();
  }
  // The version of what was written, which every watch of it must tell.
  Json Written(const std::string& ns, const std::string& kind, const http::Response& response) {
    EXPECT_TRUE(response.status == 200 || response.status == 201) << response.body;
    Json object = Json::parse(response.body, nullptr, false);
    if (object.contains("metadata") && object["metadata"].contains("resourceVersion")) {
      const std::lock_guard lock(mutex_);
      EXPECT_TRUE(written_[ns + kind]
                      .insert(object["metadata"]["resourceVersion"].get<std::string>())
                      .second)
          << response.body;
    }
    return object;
  }

  void Write(int writer) {
    const auto client = NewClient();
    for (int round = 0; round < kRounds; ++round) {
      for (const char* kind : {"leases", "configmaps"}) {
        const std::string& ns =
            namespaces_[static_cast<size_t>(writer + round) % namespaces_.size()];
        const std::string all = Collection(ns, kind);
        const std::string name = "w" + std::to_string(writer) + "-" + std::to_string(round);
        Json object = Written(
            ns, kind,
            Send(*client, "POST", all,
                 DumpJson({{"metadata", {{"name", name}, {"finalizers", {"example.com/held"}}}}})));
        object["metadata"]["labels"] = {{"round", std::to_string(round)}};
        Written(ns, kind, Send(*client, "PUT", all + "/" + name, DumpJson(object)));
        // Everybody's: patches without a version never conflict.
        Written(ns, kind,
                Send(*client, "PATCH", all + "/shared",
                     DumpJson({{"metadata", {{"annotations", {{name, "seen"}}}}}})));
        Written(ns, kind, Send(*client, "DELETE", all + "/" + name));
        Written(ns, kind,
                Send(*client, "PATCH", all + "/" + name, R"({"metadata":{"finalizers":null}})"));
        EXPECT_EQ(Send(*client, "GET", all + "/" + name).status, 404);
      }
    }
  }

  void Read() {
    const auto client = NewClient();
    for (size_t i = 0; !done_; ++i) {
      const std::string all =
          Collection(namespaces_[i % namespaces_.size()], i % 2 == 0 ? "leases" : "configmaps");
      Json page = Json::parse(Send(*client, "GET", all + "?limit=2").body);
      const std::string version = page["metadata"]["resourceVersion"];
      std::string next = page["metadata"].value("continue", "");
      while (!next.empty()) {
        page = Json::parse(Send(*client, "GET", all + "?limit=2&continue=" + next).body);
        EXPECT_EQ(page["metadata"]["resourceVersion"], version);
        next = page["metadata"].value("continue", "");
      }
      EXPECT_EQ(Send(*client, "GET", "/metrics").status, 200);
    }
  }

  // Until its namespace's "end" comes.
  void Watch(const std::string& ns, const std::string& kind, const std::string& from) {
    const auto client = NewClient();
    http::Request request;
    request.target = Collection(ns, kind) + "?watch=1&resourceVersion=" + from;
    std::string rest;
    uint64_t last = 0;
    std::set<std::string> seen;
    bool ended = false;
    const auto response = client->Stream(
        request,
        [&](std::string_view data) {
          rest += data;
          size_t end = 0;
          while ((end = rest.find('\n')) != std::string::npos) {
            const Json event = Json::parse(rest.substr(0, end));
            rest.erase(0, end + 1);
            const std::string version = event["object"]["metadata"]["resourceVersion"];
            EXPECT_GT(std::stoull(version), last);
            last = std::stoull(version);
            seen.insert(version);
            ended = ended || event["object"]["metadata"]["name"] == "end";
          }
          return !ended;
        },
        std::chrono::seconds(60));
    EXPECT_TRUE(ended) << ns;
    const std::lock_guard lock(mutex_);
    for (const std::string& version : written_[ns + kind]) {
      EXPECT_TRUE(seen.contains(version)) << ns << " " << kind << " " << version;
    }
  }

  const Folder folder_;
  const std::vector<std::string> namespaces_ = {"one", "two", "three"};
  std::unique_ptr<ApiServer> server_;
  std::atomic<bool> done_ = false;
  std::mutex mutex_;
  std::map<std::string, std::set<std::string>> written_;
};

// All want the same names: who is refused reads, and finds what it was refused for.
TEST_F(ServerConcurrency, WhoIsRefusedFindsWhy) {
  constexpr int kRivals = 5;
  std::barrier together(kRivals);
  std::atomic<int> refused = 0;
  std::vector<std::thread> rivals;
  for (int rival = 0; rival < kRivals; ++rival) {
    rivals.emplace_back([&, rival] {
      const auto client = NewClient();
      const auto version = [](const http::Response& response) {
        const Json object = Json::parse(response.body, nullptr, false);
        return std::stoull("0" + GetString(At(object, {"metadata"}), "resourceVersion"));
      };
      for (int round = 0; round < kRounds; ++round) {
        const std::string all = Collection("one", round % 2 == 0 ? "leases" : "configmaps");
        const std::string name = "r" + std::to_string(round);
        const std::string path = all + "/" + name;
        together.arrive_and_wait();
        const auto made = Send(*client, "POST", all, DumpJson({{"metadata", {{"name", name}}}}));
        auto found = Send(*client, "GET", path);
        EXPECT_EQ(found.status, 200) << "after " << made.status;
        if (made.status != 201) ++refused;
        // As client-go's RetryOnConflict, of which nobody needs more tries than there are rivals.
        int tries = 0;
        for (; tries < kRivals && found.status == 200; ++tries) {
          Json object = Json::parse(found.body, nullptr, false);
          object["metadata"]["labels"]["rival" + std::to_string(rival)] = "x";
          const auto put = Send(*client, "PUT", path, DumpJson(object));
          if (put.status == 200) break;
          EXPECT_EQ(put.status, 409) << put.body;
          ++refused;
          const uint64_t old = version(found);
          found = Send(*client, "GET", path);
          EXPECT_GT(version(found), old) << "it was refused for a version that it cannot read";
        }
        EXPECT_LT(tries, kRivals);
        together.arrive_and_wait();
        const auto gone = Send(*client, "DELETE", path);
        EXPECT_EQ(Send(*client, "GET", path).status, 404) << "after " << gone.status;
        if (gone.status != 200) ++refused;
      }
    });
  }
  for (std::thread& rival : rivals) rival.join();
  EXPECT_GT(refused, 0);
}

TEST_F(ServerConcurrency, WatchesTellEveryWriteThatWasAnswered) {
  const auto client = NewClient();
  std::vector<std::thread> watchers;
  for (const std::string& ns : namespaces_) {
    for (const char* kind : {"leases", "configmaps"}) {
      const Json shared = Json::parse(
          Send(*client, "POST", Collection(ns, kind), R"({"metadata":{"name":"shared"}})").body);
      watchers.emplace_back([this, ns, kind, from = shared["metadata"]["resourceVersion"]] {
        Watch(ns, kind, from);
      });
    }
  }
  std::thread reader([this] { Read(); });
  std::vector<std::thread> writers;
  for (int i = 0; i < 5; ++i) writers.emplace_back([this, i] { Write(i); });
  for (std::thread& thread : writers) thread.join();
  done_ = true;
  reader.join();
  for (const std::string& ns : namespaces_) {
    for (const char* kind : {"leases", "configmaps"}) {
      Send(*client, "POST", Collection(ns, kind), R"({"metadata":{"name":"end"}})");
    }
  }
  for (std::thread& thread : watchers) thread.join();
  for (const std::string& ns : namespaces_) {
    const Json shared =
        Json::parse(Send(*client, "GET", Collection(ns, "leases") + "/shared").body);
    EXPECT_EQ(shared["metadata"]["annotations"].size(), 5U * kRounds / namespaces_.size());
  }
  // Writes that nobody waits for are ended, too.
  server_->Stop(std::chrono::seconds(5));
}

}  // namespace
}  // namespace envicutor::standalone

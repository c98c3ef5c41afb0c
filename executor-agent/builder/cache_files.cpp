#include "executor-agent/builder/cache_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>

#include "common/base/encoding.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/http/client.h"

namespace envicutor::agent {
namespace {

constexpr auto kRequestTimeout = std::chrono::seconds(30);
constexpr size_t kMaxListingBytes = 256U << 20U;

class FolderFiles final : public CacheFiles {
 public:
  explicit FolderFiles(std::string root) : root_(std::move(root)) {}

  Result<std::string> Get(const std::string& name, size_t max_bytes) override {
    return ReadFile(root_ + "/" + name, max_bytes);
  }

  Status Put(const std::string& name, const std::string& content) override {
    const std::string path = root_ + "/" + name;
    ENVICUTOR_RETURN_IF_ERROR(MakeDirs(path.substr(0, path.rfind('/'))));
    return WriteFileAtomic(path, content);
  }

  Status Delete(const std::string& name) override {
    const std::string path = root_ + "/" + name;
    return ::unlink(path.c_str()) == 0 || errno == ENOENT ? OkStatus() : ErrnoStatus(errno, path);
  }

  Result<std::vector<CacheFile>> List(const std::string& folder) override {
    std::vector<CacheFile> files;
    const std::string path = folder.empty() ? root_ : root_ + "/" + folder;
    const std::unique_ptr<DIR, int (*)(DIR*)> handle(::opendir(path.c_str()), ::closedir);
    if (!handle) return errno == ENOENT ? Result(files) : ErrnoStatus(errno, path);
    while (const dirent* entry = ::readdir(handle.get())) {
      struct stat info {};
      if (::fstatat(::dirfd(handle.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
          !S_ISREG(info.st_mode)) {
        continue;
      }
      files.push_back({entry->d_name, info.st_size, info.st_mtim.tv_sec});
    }
    return files;
  }

  [[nodiscard]] int64_t NowUnixSeconds() const override { return std::time(nullptr); }

 private:
  const std::string root_;
};

// "Wed, 25 Nov 2026 16:00:00 GMT"; 0 when it is not one.
int64_t ParseHttpDate(const std::string& text) {
  std::tm time{};
  const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S", &time);
  return end == nullptr ? 0 : ::timegm(&time);
}

class WebFiles final : public CacheFiles {
 public:
  WebFiles(std::unique_ptr<http::Client> client, std::string path, std::string authorization)
      : client_(std::move(client)),
        path_(std::move(path)),
        authorization_(std::move(authorization)) {}

  Result<std::string> Get(const std::string& name, size_t max_bytes) override {
    ENVICUTOR_ASSIGN(http::Response response, Send("GET", name, ""));
    if (response.body.size() > max_bytes) return ResourceExhausted(name + " is too large");
    return std::move(response.body);
  }

  Status Put(const std::string& name, const std::string& content) override {
    return Send("PUT", name, content).status();
  }

  Status Delete(const std::string& name) override {
    const Status status = Send("DELETE", name, "").status();
    return status.code() == Code::kNotFound ? OkStatus() : status;
  }

  Result<std::vector<CacheFile>> List(const std::string& folder) override {
    std::vector<CacheFile> files;
    Result<http::Response> response = Send("GET", folder.empty() ? "" : folder + "/", "");
    if (!response.ok()) {
      return response.status().code() == Code::kNotFound ? Result(files) : response.status();
    }
    now_ = ParseHttpDate(response->headers.Get("Date"));
    const Result<Json> listing = ParseJson(response->body, 4);
    if (!listing.ok() || !listing->is_array() || now_ == 0) {
      return FailedPrecondition(
          "the cache does not list its folders as JSON with a Date "
          "(nginx: autoindex on; autoindex_format json;)");
    }
    for (const Json& entry : *listing) {
      const std::string name = GetString(entry, "name");
      if (GetString(entry, "type") != "file" || name.empty() || name.find('/') != name.npos) {
        continue;
      }
      files.push_back({name, GetInt(entry, "size"), ParseHttpDate(GetString(entry, "mtime"))});
    }
    return files;
  }

  [[nodiscard]] int64_t NowUnixSeconds() const override { return now_; }

 private:
  Result<http::Response> Send(const std::string& method, const std::string& name,
                              const std::string& body) {
    http::Request request;
    request.method = method;
    request.target = path_ + name;
    request.body = body;
    if (!authorization_.empty()) request.headers.Set("Authorization", authorization_);
    ENVICUTOR_ASSIGN(http::Response response, client_->Send(request));
    const int status = response.status;
    if (status >= 200 && status < 300) return response;
    std::string text = method + " " + (name.empty() ? "/" : name) + ": HTTP status " +
                       std::to_string(status) + " " + std::string(http::ReasonPhrase(status));
    if (status == 404) return NotFound(std::move(text));
    if (status == 401 || status == 403 || status == 405) {
      return Status(Code::kPermissionDenied, std::move(text));
    }
    if (status == 413 || status == 507) return ResourceExhausted(std::move(text));
    return Unavailable(std::move(text));
  }

  const std::unique_ptr<http::Client> client_;
  const std::string path_;  // ends with a slash
  const std::string authorization_;
  int64_t now_ = 0;
};

// Words of a netrc; comments go to the end of their line.
std::vector<std::string_view> Words(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  std::vector<std::string_view> words;
  while (true) {
    const size_t start = text.find_first_not_of(kSpace);
    if (start == std::string_view::npos) return words;
    text.remove_prefix(start);
    const size_t end = text.front() == '#' ? text.find('\n') : text.find_first_of(kSpace);
    if (text.front() != '#') words.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return words;
    text.remove_prefix(end);
  }
}

}  // namespace

NetrcEntry FindInNetrc(std::string_view netrc, std::string_view host) {
  const std::vector<std::string_view> words = Words(netrc);
  NetrcEntry found;
  bool ours = false;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "default") {
      if (!found.login.empty()) return found;
      ours = true;
    } else if (i + 1 < words.size()) {
      const std::string_view value = words[i + 1];
      if (words[i] == "machine") {
        if (!found.login.empty()) return found;
        ours = value == host;
      } else if (words[i] == "login" && ours) {
        found.login = value;
      } else if (words[i] == "password" && ours) {
        found.password = value;
      }
      ++i;
    }
  }
  return found;
}

Result<std::unique_ptr<CacheFiles>> NewCacheFiles(const std::string& url,
                                                  const std::string& netrc) {
  const std::string plain = url.substr(0, url.find('?'));
  if (plain.rfind("file:///", 0) == 0) {
    return std::unique_ptr<CacheFiles>(std::make_unique<FolderFiles>(plain.substr(7)));
  }
  if (plain.rfind("http://", 0) != 0 && plain.rfind("https://", 0) != 0) {
    return Status(Code::kUnimplemented, "not a folder or a web server: " + plain);
  }
  const size_t host_start = plain.find("://") + 3;
  const size_t path_start = std::min(plain.find('/', host_start), plain.size());
  std::string host = plain.substr(host_start, path_start - host_start);
  std::string path = plain.substr(path_start);
  if (path.empty() || path.back() != '/') path += "/";
  http::ClientOptions options;
  options.base_url = plain.substr(0, path_start);
  options.timeout = kRequestTimeout;
  options.max_response_bytes = kMaxListingBytes;
  options.transport = http::ClientOptions::Transport::kCpprest;  // a name; whole files, idempotent
  ENVICUTOR_ASSIGN(std::unique_ptr<http::Client> client, http::NewClient(options));
  if (const size_t port = host.rfind(':'); port != std::string::npos && host.back() != ']') {
    host.resize(port);
  }
  const NetrcEntry entry = FindInNetrc(netrc, host);
  const std::string authorization =
      entry.login.empty() ? "" : "Basic " + Base64Encode(entry.login + ":" + entry.password);
  return std::unique_ptr<CacheFiles>(
      std::make_unique<WebFiles>(std::move(client), std::move(path), authorization));
}

}  // namespace envicutor::agent

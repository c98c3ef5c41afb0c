#include "executor-agent/builder/session_init.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <vector>

#include "common/base/json.h"
#include "common/base/unique_fd.h"
#include "executor-agent/builder/session_mounts.h"
#include "executor-agent/store/store_layout.h"

namespace envicutor::agent {
namespace {

constexpr size_t kMaxCommandOutput = 32U << 20U;
constexpr char kStoreUri[] = "unix:///mnt/run/socket?root=/mnt/root";
constexpr rlim_t kMaxBuildProcesses = 4096;
constexpr int kSystemdFirstFd = 3;  // SD_LISTEN_FDS_START

struct Command {
  std::vector<std::string> argv;
  std::vector<std::string> env;
  bool root = false;
  int64_t memory_bytes = 0;  // RLIMIT_AS, 0: none
  int listen_fd = -1;        // given as systemd gives it
};

struct Exit {
  int code = 0;
  int signal = 0;
  std::string output;
  bool too_long = false;
};

void SetLimit(__rlimit_resource which, rlim_t value) {
  const rlimit limit{value, value};
  ::setrlimit(which, &limit);
}

std::vector<char*> Pointers(std::vector<std::string>* strings) {
  std::vector<char*> pointers;
  for (std::string& string : *strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void Exec(Command command, int stdout_fd, int stderr_fd) {
  // NOLINTNEXTLINE(android-cloexec-open): it may be stdin itself, where that was closed
  const int null_fd = ::open("/dev/null", O_RDONLY);
  ::dup2(null_fd, STDIN_FILENO);
  ::dup2(stdout_fd, STDOUT_FILENO);
  ::dup2(stderr_fd, STDERR_FILENO);
  if (command.listen_fd >= 0) {
    ::dup2(command.listen_fd, kSystemdFirstFd);  // clears close-on-exec, or is it already
    ::fcntl(kSystemdFirstFd, F_SETFD, 0);
    command.env.push_back("LISTEN_FDS=1");
    command.env.push_back("LISTEN_PID=" + std::to_string(::getpid()));
  }
  ::close_range(command.listen_fd >= 0 ? kSystemdFirstFd + 1 : kSystemdFirstFd, ~0U, 0);
  SetLimit(RLIMIT_CORE, 0);
  // Root itself is exempt; each build user that the daemon becomes is not.
  if (command.root) SetLimit(RLIMIT_NPROC, kMaxBuildProcesses);
  if (!command.root) {
    SetLimit(RLIMIT_NPROC, 64);
    SetLimit(RLIMIT_FSIZE, 2UL << 30U);
    if (command.memory_bytes > 0) SetLimit(RLIMIT_AS, static_cast<rlim_t>(command.memory_bytes));
    if (::setgroups(0, nullptr) != 0 ||
        ::setresgid(kEvaluatorUid, kEvaluatorUid, kEvaluatorUid) != 0 ||
        ::setresuid(kEvaluatorUid, kEvaluatorUid, kEvaluatorUid) != 0) {
      ::_exit(126);
    }
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  }
  std::vector<char*> argv = Pointers(&command.argv);
  std::vector<char*> env = Pointers(&command.env);
  ::execvpe(argv[0], argv.data(), env.data());
  ::dprintf(STDERR_FILENO, "error: cannot start %s: %s\n", argv[0], ::strerror(errno));
  ::_exit(127);
}

class Init {
 public:
  Init(const SessionSpec& spec, int control_fd, int log_fd)
      : spec_(spec), control_fd_(control_fd), log_fd_(log_fd) {}

  [[noreturn]] void Run() {
    Status status = EnterSessionMounts(spec_);
    if (status.ok() && spec_.publish) {
      status = Publish();
    } else if (status.ok()) {
      status = StartDaemon();
      if (status.ok()) status = Steps();
    }
    if (!status.ok()) Tell({{"error", status.message()}});
    // It is waited for, so that what builds used is counted.
    if (daemon_ > 0 && ::kill(daemon_, SIGKILL) == 0) ::waitpid(daemon_, nullptr, 0);
    ::_exit(status.ok() ? 0 : 1);
  }

 private:
  Status StartDaemon() {
    ::umask(022);
    if (::chdir("/") != 0) return ErrnoStatus(errno, "/");
    // The socket is made and listened to here, so that nobody has to wait for the daemon to be up.
    listen_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, kSessionSocket, sizeof(address.sun_path) - 1);
    if (!listen_.valid() ||
        ::bind(listen_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::chmod(kSessionSocket, 0666) != 0 || ::listen(listen_.get(), 16) != 0) {
      return ErrnoStatus(errno, kSessionSocket);
    }
    Command daemon;
    daemon.argv = {"nix-daemon", "--store", std::string("local?root=") + kSessionRoot};
    daemon.env = Environment("/root");
    daemon.env.push_back(std::string("TMPDIR=") + kSessionBuildDir);
    daemon.root = true;
    daemon.listen_fd = listen_.get();
    daemon_ = ::fork();
    if (daemon_ < 0) return ErrnoStatus(errno, "fork");
    if (daemon_ == 0) Exec(std::move(daemon), log_fd_, log_fd_);
    listen_.reset();
    return OkStatus();
  }

  Status Steps() {
    std::string nixpkgs = "/mnt/nixpkgs";
    if (spec_.nixpkgs_dir.empty()) {
      Command fetch = Evaluator({"nix-instantiate"}, {"--eval", "--json", "-E", FetchExpression()});
      Exit exit;
      if (!Step("fetch", std::move(fetch), &exit)) return OkStatus();
      ENVICUTOR_ASSIGN(const Json path, ParseJson(exit.output, 4));
      const std::string store_path = path.is_string() ? path.get<std::string>() : "";
      ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(store_path));
      nixpkgs = std::string(kSessionRoot) + store_path;
    }
    Exit evaluated;
    if (!Step("evaluate",
              Evaluator({"nix-instantiate"}, {"-I", "nixpkgs=" + nixpkgs, "-I",
                                              "request=/mnt/request", "/mnt/request/default.nix"}),
              &evaluated)) {
      return OkStatus();
    }
    ENVICUTOR_ASSIGN(const std::string derivation, OnePath(evaluated.output));
    Exit built;
    if (!Step("build", Evaluator({"nix-store"}, {"--realise", derivation}), &built))
      return OkStatus();
    ENVICUTOR_ASSIGN(const std::string store_path, OnePath(built.output));
    Exit inspected;
    if (!Step("inspect", Evaluator({"nix", "path-info"}, {"--json", "-r", store_path}),
              &inspected)) {
      return OkStatus();
    }
    Tell({{"done", true}, {"storePath", store_path}, {"pathInfo", inspected.output}});
    return OkStatus();
  }

  // Signed as it is copied; then looked at with an executor's eyes.
  Status Publish() {
    const PublishSpec& publish = *spec_.publish;
    if (::chdir("/") != 0) return ErrnoStatus(errno, "/");
    std::string cache = publish.cache_url;
    if (cache.rfind("file://", 0) == 0) cache = std::string("file://") + kSessionCache;
    const auto command = [](std::vector<std::string> argv) {
      Command made;
      made.argv = std::move(argv);
      // Compressed files are made beside the store, which has the room.
      made.env = Environment(kSessionHome);
      made.env.push_back(std::string("TMPDIR=") + kSessionBuildDir);
      made.root = true;
      return made;
    };
    Exit exit;
    if (!publish.secret_key.empty()) {
      const char* separator = cache.find('?') == std::string::npos ? "?" : "&";
      const std::string to = cache + separator + "compression=zstd&secret-key=" + kSessionKey;
      const std::string from = std::string("local?root=") + kSessionRoot;
      if (!Step("publish", command({"nix", "copy", "--from", from, "--to", to, publish.store_path}),
                &exit)) {
        return OkStatus();
      }
    }
    std::vector<std::string> verify = {"nix", "store",         "verify", "--store",         cache,
                                       "-r",  "--sigs-needed", "1",      publish.store_path};
    if (!publish.contents) verify.push_back("--no-contents");
    if (!Step("verify", command(std::move(verify)), &exit)) return OkStatus();
    if (!Step("inspect",
              command({"nix", "path-info", "--json", "-r", "--store", cache, publish.store_path}),
              &exit)) {
      return OkStatus();
    }
    Tell({{"done", true}, {"storePath", publish.store_path}, {"pathInfo", exit.output}});
    return OkStatus();
  }

  static Result<std::string> OnePath(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(text));
    return text;
  }

  [[nodiscard]] std::string FetchExpression() const {
    // JSON strings are Nix strings but for "${".
    const auto quote = [](const std::string& text) {
      std::string quoted = DumpJson(text);
      for (size_t at = quoted.find("${"); at != std::string::npos; at = quoted.find("${", at + 3)) {
        quoted.insert(at, "\\");
      }
      return quoted;
    };
    std::string expression =
        "(builtins.fetchTarball { name = \"nixpkgs\"; url = " + quote(spec_.nixpkgs_url) + "; ";
    if (!spec_.nixpkgs_sha256.empty())
      expression += "sha256 = " + quote(spec_.nixpkgs_sha256) + "; ";
    return expression + "})";
  }

  [[nodiscard]] static std::vector<std::string> Environment(const std::string& home) {
    return {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "NIX_CONF_DIR=/mnt/etc",
            // Locks of the build users; else Nix makes /nix on the host.
            "NIX_STATE_DIR=/mnt/state", std::string("NIX_DAEMON_SOCKET_PATH=") + kSessionSocket,
            "NIX_SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt", "LC_ALL=C.UTF-8", "TERM=dumb"};
  }

  // `program` is the command's words before its options.
  [[nodiscard]] Command Evaluator(std::vector<std::string> program,
                                  const std::vector<std::string>& arguments) const {
    Command command;
    command.argv = std::move(program);
    command.argv.insert(command.argv.end(), {"--store", kStoreUri});
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.env = Environment(kSessionHome);
    command.env.push_back("GC_MAXIMUM_HEAP_SIZE=" + std::to_string(spec_.evaluation_memory_bytes));
    // Room for the program itself beside the collector's heap.
    command.memory_bytes = spec_.evaluation_memory_bytes + (1LL << 30);
    return command;
  }

  // False: it failed, and the parent was told.
  bool Step(const char* name, Command command, Exit* exit) {
    Tell({{"step", name}});
    *exit = RunCommand(std::move(command));
    if (exit->too_long || exit->code != 0 || exit->signal != 0) {
      Tell({{"step", name}, {"code", exit->code}, {"signal", exit->signal}});
      return false;
    }
    return true;
  }

  Exit RunCommand(Command command) {
    Exit result;
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
      result.code = 126;
      return result;
    }
    const UniqueFd reader(pipe[0]);
    UniqueFd writer(pipe[1]);
    const pid_t pid = ::fork();
    if (pid == 0) Exec(std::move(command), writer.get(), log_fd_);
    writer.reset();
    std::array<char, 65536> buffer{};
    while (pid > 0) {
      const ssize_t count = ::read(reader.get(), buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) break;
      if (result.output.size() + static_cast<size_t>(count) > kMaxCommandOutput) {
        result.too_long = true;
        ::kill(pid, SIGKILL);
        break;
      }
      result.output.append(buffer.data(), static_cast<size_t>(count));
    }
    int status = 0;
    // PID 1 also buries what others left.
    for (pid_t ended = 0; pid > 0 && ended != pid;) {
      ended = ::waitpid(-1, &status, 0);
      if (ended < 0 && errno != EINTR) break;
    }
    if (pid < 0) result.code = 126;
    if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
    if (WIFEXITED(status)) result.code = WEXITSTATUS(status);
    return result;
  }

  void Tell(const Json& message) const {
    const std::string line = DumpJson(message) + "\n";
    std::string_view rest = line;
    while (!rest.empty()) {
      const ssize_t count = ::write(control_fd_, rest.data(), rest.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return;
      rest.remove_prefix(static_cast<size_t>(count));
    }
  }

  const SessionSpec& spec_;
  const int control_fd_;
  const int log_fd_;
  UniqueFd listen_;
  pid_t daemon_ = -1;
};

}  // namespace

void RunSessionInit(const SessionSpec& spec, int control_fd, int log_fd) {
  // The builder's end, however it comes, is the session's.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::signal(SIGPIPE, SIG_IGN);
  Init(spec, control_fd, log_fd).Run();
}

}  // namespace envicutor::agent

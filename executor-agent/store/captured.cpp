#include "executor-agent/store/captured.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "common/base/unique_fd.h"

namespace envicutor::agent {
namespace {

constexpr size_t kMaxVariablesBytes = 2U << 20U;
constexpr size_t kMaxPathBytes = 4096;

UniqueFd OpenAt2(int dir, const std::string& path, uint64_t flags, uint64_t resolve) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = resolve;
  return UniqueFd(static_cast<int>(::syscall(SYS_openat2, dir, path.c_str(), &how, sizeof(how))));
}

UniqueFd OpenRoot(const StoreLayout& layout) {
  return UniqueFd(::open(layout.root().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

Result<std::string> ReadBelow(int root, const std::string& path, size_t max_bytes) {
  // O_NONBLOCK: opening a fifo must not wait for a writer.
  const UniqueFd file = OpenAt2(root, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW,
                                RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  if (!file.valid()) return ErrnoStatus(errno, path);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return ErrnoStatus(errno, path);
  if (!S_ISREG(info.st_mode)) return InvalidArgument(path + " is not a file");
  std::string content;
  std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t count = ::read(file.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, path);
    if (count == 0) return content;
    content.append(buffer.data(), static_cast<size_t>(count));
    if (content.size() > max_bytes) {
      return InvalidArgument(path + " has more than " + std::to_string(max_bytes) + " bytes");
    }
  }
}

}  // namespace

Result<std::map<std::string, std::string>> ParseVariables(std::string_view bytes) {
  std::map<std::string, std::string> variables;
  while (!bytes.empty()) {
    const size_t end = bytes.find('\0');
    if (end == std::string_view::npos) return InvalidArgument("the captured variables are cut off");
    const std::string_view entry = bytes.substr(0, end);
    bytes = bytes.substr(end + 1);
    const size_t equals = entry.find('=');
    if (equals == std::string_view::npos)
      return InvalidArgument("a captured variable has no value");
    const std::string_view name = entry.substr(0, equals);
    if (!IsVariableName(name) || name == "_") continue;  // _ is the last command
    variables[std::string(name)] = std::string(entry.substr(equals + 1));
  }
  ENVICUTOR_RETURN_IF_ERROR(CheckVariables(variables));
  return variables;
}

Result<Captured> ReadCaptured(const StoreLayout& layout, const std::string& store_path) {
  ENVICUTOR_RETURN_IF_ERROR(CheckStorePath(store_path));
  const UniqueFd root = OpenRoot(layout);
  if (!root.valid()) return ErrnoStatus(errno, layout.root());
  const auto read = [&](const char* name, size_t max_bytes) -> Result<std::string> {
    Result<std::string> content =
        ReadBelow(root.get(), store_path.substr(1) + "/" + name, max_bytes);
    if (content.ok()) return content;
    return InvalidArgument("the shellHook spoiled what was captured: " +
                           content.status().message());
  };
  Captured captured;
  ENVICUTOR_ASSIGN(const std::string variables, read("variables", kMaxVariablesBytes));
  ENVICUTOR_ASSIGN(captured.variables, ParseVariables(variables));
  ENVICUTOR_ASSIGN(captured.shell, read("shell", kMaxPathBytes));
  ENVICUTOR_ASSIGN(captured.env_binary, read("env", kMaxPathBytes));
  if (!IsProgram(layout, captured.shell)) {
    return InvalidArgument("the environment's bash is not a program of the store: " +
                           captured.shell.substr(0, 256));
  }
  if (!IsProgram(layout, captured.env_binary)) captured.env_binary.clear();
  return captured;
}

bool IsProgram(const StoreLayout& layout, const std::string& path) {
  if (!StorePathOf(path).ok()) return false;
  const UniqueFd root = OpenRoot(layout);
  // IN_ROOT: an absolute link to /nix/store/... leads into this store, as it does in the box.
  const UniqueFd file = OpenAt2(root.get(), path, O_PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  struct stat info {};
  return file.valid() && ::fstat(file.get(), &info) == 0 && S_ISREG(info.st_mode) &&
         (info.st_mode & 0111U) != 0;
}

}  // namespace envicutor::agent

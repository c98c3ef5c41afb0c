#include "executor-agent/run/simple_command.h"

#include <algorithm>
#include <array>
#include <string>

namespace envicutor::agent {
namespace {

constexpr size_t kMaxWords = 64;
constexpr size_t kMaxPaths = 64;
constexpr std::string_view kBox = "/box";  // where every stage starts
constexpr std::string_view kBlanks = " \t\n";
constexpr std::string_view kAllArguments = "\"$@\"";

// Characters that mean themselves to a shell wherever they are, but for '=' in the first word.
bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_-./,:+@%=").find(c) != std::string_view::npos;
}

// Words, or none when the script is more than words. A newline ends a command: one only after all.
std::optional<std::vector<std::string_view>> Words(std::string_view script) {
  const size_t end = script.find_last_not_of(kBlanks);
  const size_t begin = script.find_first_not_of(kBlanks);
  if (end == std::string_view::npos) return std::nullopt;
  script = script.substr(begin, end - begin + 1);
  std::vector<std::string_view> words;
  while (!script.empty()) {
    const std::string_view word = script.substr(0, script.find_first_of(" \t"));
    if (words.size() == kMaxWords) return std::nullopt;
    words.push_back(word);
    const size_t next = script.find_first_not_of(" \t", word.size());
    script = next == std::string_view::npos ? std::string_view() : script.substr(next);
  }
  return words;
}

// Variables that bash reads, sets or takes away, other than those it passes on as they are.
bool ChangesBash(std::string_view name, std::string_view value) {
  constexpr std::string_view kNames =
      " _ SHLVL OLDPWD IFS PS1 PS2 PS4 SHELLOPTS POSIXLY_CORRECT POSIX_PEDANTIC UID EUID PPID "
      "RANDOM"
      " SRANDOM SECONDS LINENO GROUPS DIRSTACK FUNCNAME PIPESTATUS OPTIND OPTERR OPTARG EXECIGNORE"
      " FUNCNEST LANGUAGE SSH_CLIENT SSH2_CLIENT ";
  constexpr std::array kPrefixes = {std::string_view("BASH"), std::string_view("EPOCH"),
                                    std::string_view("COMP"), std::string_view("HIST")};
  // bash warns of a locale that is not there.
  if (name == "LANG" || name.starts_with("LC_")) {
    return value != "C" && value != "POSIX" && value != "C.UTF-8";
  }
  return kNames.find(' ' + std::string(name) + ' ') != std::string_view::npos ||
         std::any_of(kPrefixes.begin(), kPrefixes.end(),
                     [name](std::string_view prefix) { return name.starts_with(prefix); });
}

// What bash's exec makes of a path: an absolute one, which a script finds in its $0. Nothing where
// that is not simply the folder and the path.
std::optional<std::string> FullPath(std::string_view path) {
  if (path.starts_with('/')) return std::string(path);
  if (path.starts_with("./")) path.remove_prefix(2);
  if (path.empty() || path.starts_with('/') || path.starts_with('.')) return std::nullopt;
  return std::string(kBox) + '/' + std::string(path);
}

// Where a name without a slash is looked for, in order. None: PATH is absent, or a folder of it
// depends on where one stands.
std::vector<std::string> Candidates(std::string_view name, const std::vector<std::string>& env) {
  constexpr std::string_view kPath = "PATH=";
  std::vector<std::string> paths;
  for (const std::string& variable : env) {
    if (!variable.starts_with(kPath)) continue;
    std::string_view rest = std::string_view(variable).substr(kPath.size());
    for (bool more = true; more;) {
      const size_t colon = rest.find(':');
      const std::string_view folder = rest.substr(0, colon);
      more = colon != std::string_view::npos;
      if (more) rest = rest.substr(colon + 1);
      if (!folder.starts_with('/') || folder.ends_with("//") || paths.size() == kMaxPaths)
        return {};
      paths.push_back(std::string(folder) + (folder.ends_with('/') ? "" : "/") + std::string(name));
    }
  }
  return paths;
}

}  // namespace

std::optional<DirectStart> SimpleCommand(std::string_view script,
                                         const std::vector<std::string>& env) {
  std::optional<std::vector<std::string_view>> words = Words(script);
  if (!words) return std::nullopt;
  const bool exec = words->front() == "exec";
  if (exec) words->erase(words->begin());
  DirectStart direct;
  if (!words->empty() && words->back() == kAllArguments) {
    direct.with_arguments = true;
    words->pop_back();
  }
  if (words->empty()) return std::nullopt;
  const std::string_view program = words->front();
  // -x would be a flag of exec, +x one of the shell, %x a job, a=b an assignment.
  constexpr std::string_view kSpecial = "-+%";
  if (kSpecial.find(program.front()) != std::string_view::npos) return std::nullopt;
  if (program.find('=') != std::string_view::npos) return std::nullopt;
  for (const std::string_view word : *words) {
    if (!std::all_of(word.begin(), word.end(), IsPlain)) return std::nullopt;
    direct.words.emplace_back(word);
  }
  for (const std::string& variable : env) {
    const size_t equals = variable.find('=');
    if (equals == std::string::npos) return std::nullopt;
    const std::string_view text = variable;
    if (ChangesBash(text.substr(0, equals), text.substr(equals + 1))) return std::nullopt;
  }
  // What bash gives its child besides.
  direct.env.emplace_back("SHLVL=0");
  if (program.find('/') != std::string_view::npos) {
    const std::optional<std::string> path = exec ? FullPath(program) : std::string(program);
    if (!path) return std::nullopt;
    direct.paths.push_back(*path);
    if (!exec) direct.env.push_back("_=" + *path);
  } else {
    // Without exec it may be one of the shell's own.
    if (!exec) return std::nullopt;
    direct.paths = Candidates(program, env);
  }
  if (direct.paths.empty()) return std::nullopt;
  return direct;
}

}  // namespace envicutor::agent

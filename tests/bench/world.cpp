#include "tests/bench/world.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/base/file.h"
#include "executor-agent/cgroup/delegation.h"
#include "executor-agent/sandbox/shared.h"

namespace envicutor::agent::bench {
namespace {

namespace fs = std::filesystem;
constexpr char kProbe[] = "/nix/store/tools/probe";
constexpr char kIsolateConfig[] = "/usr/local/etc";

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "sandbox_bench: %s\n", why.c_str());
  std::exit(1);
}

// The folder of the control group that the engines made children of: ours, or above our leaf.
std::string DelegatedGroup() {
  const Result<std::string> mounts = ReadFile("/proc/self/mountinfo");
  const Result<std::string> own = ReadFile("/proc/self/cgroup");
  if (!mounts.ok() || !own.ok()) return "";
  const Result<cgroup::Place> place = cgroup::FindPlace(*mounts, *own);
  if (!place.ok()) return "";
  std::string path = place->mount_point + (place->path == "/" ? "" : place->path);
  const std::string leaf = std::string("/") + cgroup::kLeafName;
  if (path.ends_with(leaf)) path.resize(path.size() - leaf.size());
  return path;
}

// The engines' control groups, below which all they start is. Another agent on this machine has
// groups with such names, too, and its CPU time is not ours.
std::vector<std::string> engine_groups;

// "..., control group /PATH[,; ...]": the name, or "" when there is none.
std::string GroupIn(const std::string& detail) {
  constexpr std::string_view kBefore = "control group /";
  const size_t at = detail.find(kBefore);
  if (at == std::string::npos) return "";
  const std::string path =
      detail.substr(at + kBefore.size(), detail.find_first_of(",;", at) - at - kBefore.size());
  return path.substr(path.rfind('/') + 1);
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

}  // namespace

World::World() {
  folder_ = fs::temp_directory_path() / "envicutor-bench-XXXXXX";
  if (::mkdtemp(folder_.data()) == nullptr) Die("mkdtemp " + folder_);
  fs::permissions(folder_, fs::perms(0755));
  const fs::path tools = fs::path(folder_) / "view" / "tools";
  fs::create_directories(tools);
  std::error_code failed;
  fs::copy_file(BesideOwnBinary("conformance-probe"), tools / "probe", failed);
  if (failed) Die("conformance-probe is not beside this program");
}

World::~World() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

BoxEnvironment World::environment() const { return {folder_ + "/view", kProbe, ""}; }

StageSpec World::Spec(std::vector<std::string> args) {
  StageSpec spec;
  spec.argv = std::move(args);
  spec.argv.insert(spec.argv.begin(), kProbe);
  spec.env = {"PATH=/nix/store/tools", "HOME=/tmp"};
  for (const auto& [limit, value] : {std::pair{api::Limit::kCpuTime, int64_t{10'000}},
                                     {api::Limit::kExtraTime, int64_t{0}},
                                     {api::Limit::kWallTime, int64_t{30'000}},
                                     {api::Limit::kMemory, int64_t{64} << 20},
                                     {api::Limit::kMaxProcesses, int64_t{16}},
                                     {api::Limit::kMaxOpenFiles, int64_t{64}},
                                     {api::Limit::kMaxFileSize, int64_t{64} << 20},
                                     {api::Limit::kMaxDisk, int64_t{64} << 20},
                                     {api::Limit::kStack, int64_t{8} << 20},
                                     {api::Limit::kMaxStdout, int64_t{64} << 10},
                                     {api::Limit::kMaxStderr, int64_t{64} << 10}}) {
    spec.limits.Set(limit, value);
  }
  return spec;
}

Result<std::unique_ptr<Sandbox>> World::MakeSandbox(const std::string& engine, int slots,
                                                    const std::string& isolate) const {
  SandboxOptions options;
  options.state_dir = folder_ + "/state-" + engine;
  options.slots = slots;
  options.allow_degraded = true;  // said in the output
  options.isolate_binary = isolate;
  Result<std::unique_ptr<Sandbox>> made =
      engine == "native" ? NewNativeSandbox(options) : NewIsolateSandbox(options);
  if (made.ok()) engine_groups.push_back(GroupIn((*made)->Info().detail));
  return made;
}

Result<std::unique_ptr<RawIsolate>> RawIsolate::Make(const World& world,
                                                     const std::string& binary) {
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("bench", kIsolateConfig, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") != 0) {
    return ErrnoStatus(errno, "a mount namespace with isolate's configuration");
  }
  std::unique_ptr<RawIsolate> made(new RawIsolate(world, binary));
  for (const char* name : {"/isolate-root", "/isolate-locks"}) {
    ENVICUTOR_RETURN_IF_ERROR(MakeDirs(world.folder() + name));
  }
  made->WriteConfig("/nowhere");
  return made;
}

void RawIsolate::WriteConfig(const std::string& cg_root) const {
  std::ofstream(std::string(kIsolateConfig) + "/isolate")
      << "box_root=" << world_.folder() << "/isolate-root\nlock_root=" << world_.folder()
      << "/isolate-locks\ncg_root=" << cg_root
      << "\nfirst_uid=61000\nfirst_gid=61000\nnum_boxes=64\n";
}

void RawIsolate::UseControlGroups() {
  const Result<std::string> controllers = ReadFile(DelegatedGroup() + "/cgroup.subtree_control");
  if (!controllers.ok() || controllers->find("memory") == std::string::npos) return;
  group_ = DelegatedGroup() + "/bench-isolate";
  std::error_code failed;
  fs::create_directory(group_, failed);
  if (failed) Die(group_ + ": " + failed.message());
  std::ofstream(group_ + "/cgroup.subtree_control") << "+memory";
  WriteConfig(group_);
  control_groups_ = true;
}

RawIsolate::~RawIsolate() {
  if (control_groups_) ::rmdir(group_.c_str());
}

void RawIsolate::Call(const std::vector<std::string>& args) const {
  std::vector<std::string> argv{binary_};
  if (control_groups_) argv.emplace_back("--cg");
  argv.emplace_back("--silent");
  argv.insert(argv.end(), args.begin(), args.end());
  posix_spawn_file_actions_t quiet;  // --init prints the box's folder
  ::posix_spawn_file_actions_init(&quiet);
  ::posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  SpawnAndWait(argv, &quiet);
  ::posix_spawn_file_actions_destroy(&quiet);
}

void RawIsolate::Cycle(int box) const {
  const std::string id = "--box-id=" + std::to_string(box);
  const std::string number = std::to_string(box);
  Call({id, "--init"});
  std::vector<std::string> run{id,
                               "--meta=" + world_.folder() + "/meta-" + number,
                               "--stdout=out",
                               "--stderr=err",
                               "--no-default-dirs",
                               "--dir=box=./box:rw",
                               "--dir=proc=proc:fs",
                               "--dir=/nix/store=" + world_.folder() + "/view",
                               "--time=10",
                               "--wall-time=30",
                               "--processes=16"};
  run.push_back(control_groups_ ? "--cg-mem=65536" : "--mem=65536");
  for (const char* last : {"--run", "--", kProbe}) run.emplace_back(last);
  Call(run);
  Call({id, "--cleanup"});
}

void SpawnAndWait(const std::vector<std::string>& argv, const posix_spawn_file_actions_t* actions) {
  std::vector<char*> pointers;
  for (const std::string& text : argv) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  pid_t pid = -1;
  int status = 0;
  if (::posix_spawn(&pid, pointers[0], actions, nullptr, pointers.data(), environ) != 0 ||
      ::waitpid(pid, &status, 0) != pid || status != 0) {
    std::string text;
    for (const std::string& word : argv) text += word + " ";
    Die(text + "failed with wait status " + std::to_string(status));
  }
}

double CpuSeconds() {
  double total = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    ::getrusage(who, &usage);
    total += Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
  }
  for (const std::string& name : engine_groups) {
    const Result<std::string> stat = ReadFile(DelegatedGroup() + '/' + name + "/cpu.stat");
    if (!name.empty() && stat.ok())
      total += static_cast<double>(cgroup::FlatKeyed(*stat, "usage_usec")) / 1e6;
  }
  return total;
}

std::string MemoryOfThisProcess() {
  std::string text;
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    for (const char* name : {"VmRSS:", "RssAnon:", "VmHWM:"}) {
      if (!line.starts_with(name)) continue;
      std::string words;
      for (const char c : line) {
        if (c != '\t' && (c != ' ' || (!words.empty() && words.back() != ' '))) words += c;
      }
      text += words + ", ";
    }
  }
  const auto fds = fs::directory_iterator("/proc/self/fd");
  return text + std::to_string(std::distance(fs::begin(fds), fs::end(fds))) + " descriptors";
}

double Times::Median() const {
  std::vector<double> sorted = seconds;
  std::sort(sorted.begin(), sorted.end());
  return sorted.empty() ? 0 : sorted[sorted.size() / 2];
}

double Times::PerSecond() const {
  return elapsed > 0 ? static_cast<double>(seconds.size()) / elapsed : 0;
}

double Times::Cpu() const {
  return seconds.empty() ? 0 : cpu / static_cast<double>(seconds.size());
}

void Times::Add(const Times& other) {
  seconds.insert(seconds.end(), other.seconds.begin(), other.seconds.end());
  elapsed += other.elapsed;
  cpu += other.cpu;
}

Times Measure(int workers, int runs, const std::function<void(int)>& once) {
  using Clock = std::chrono::steady_clock;
  const auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  std::vector<Times> each(static_cast<size_t>(workers));
  const auto work = [&](int worker) {
    std::vector<double>& seconds = each[static_cast<size_t>(worker)].seconds;
    seconds.reserve(static_cast<size_t>(runs));
    for (int i = 0; i < runs; ++i) {
      const auto begin = Clock::now();
      once(worker);
      seconds.push_back(since(begin));
    }
  };
  const double cpu_before = CpuSeconds();
  const auto begin = Clock::now();
  {
    std::vector<std::jthread> threads;
    for (int worker = 1; worker < workers; ++worker) threads.emplace_back(work, worker);
    work(0);
  }
  Times all;
  all.elapsed = since(begin);
  all.cpu = CpuSeconds() - cpu_before;
  for (const Times& times : each)
    all.seconds.insert(all.seconds.end(), times.seconds.begin(), times.seconds.end());
  return all;
}

}  // namespace envicutor::agent::bench

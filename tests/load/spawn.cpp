#include "tests/load/spawn.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "tests/load/figures.h"
#include "tests/load/pace.h"
#include "tests/load/processes.h"

namespace envicutor::load {

const std::vector<std::string> kSpawnFlags = {"count", "concurrency", "timeout", "output"};

Result<Json> RunSpawn(const Flags& flags) {
  ENVICUTOR_ASSIGN(const Amount amount, AmountFrom(flags));
  if (flags.rest().empty()) return InvalidArgument("spawn needs a program after --");
  std::vector<std::string> words = flags.rest();
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::mutex mutex;
  std::vector<double> millis;
  const SteadyTime start = std::chrono::steady_clock::now();
  const auto before = ReadProcessTree(::getpid());
  ENVICUTOR_RETURN_IF_ERROR(RunPaced(amount, [&](int64_t, SteadyTime due) -> Status {
    pid_t pid = 0;
    const int error = ::posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environ);
    if (error != 0) return ErrnoStatus(error, argv[0]);
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      return FailedPrecondition(words[0] + " failed");
    }
    const double took = MillisOf(std::chrono::steady_clock::now() - due);
    const std::lock_guard lock(mutex);
    millis.push_back(took);
    return OkStatus();
  }));
  const double seconds = MillisOf(std::chrono::steady_clock::now() - start) / 1000;
  double cpu = 0;
  const Json used = UseBetween(before, ReadProcessTree(::getpid()));
  for (const auto& [name, use] : used.items()) {
    cpu += use["cpuSeconds"].get<double>() + use["childrenCpuSeconds"].get<double>();
  }
  return Json{{"runs", amount.count},
              {"concurrency", amount.concurrency},
              {"runsPerSecond", Rounded(static_cast<double>(amount.count) / seconds)},
              {"cpuMillisPerRun", Rounded(cpu * 1000 / static_cast<double>(amount.count))},
              {"millis", Summary(std::move(millis))}};
}

}  // namespace envicutor::load

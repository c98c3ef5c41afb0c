// What a sandbox costs, as ratios: all contestants in one process and one run, in turns, so that a
// busy machine is busy for all of them.
//
//   sandbox_bench [--runs N] [--rounds N] [--isolate PATH] [--only WORD]
//   sandbox_bench --leak N        memory of this process over N whole cycles of the native engine
//   sandbox_bench --fairness N    CPU time of the same work alone, and with every slot busy
//
// Needs root. Times of a shared machine mean little; the ratios are what
// docs/performance-sandbox.md has. Always exits 0 when all ran: this is no test.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "tests/bench/world.h"

namespace envicutor::agent::bench {
namespace {

constexpr int kMaxWorkers = 2;
constexpr int64_t kDisk = int64_t{64} << 20;

struct Contestant {
  std::string name;
  int workers;
  std::function<void(int)> once;
  Times times = {};
};

struct Options {
  int runs = 100;
  int rounds = 10;
  std::string isolate;
  std::string only;
  int leak = 0;
  int fairness = 0;
};

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "sandbox_bench: %s\n", why.c_str());
  std::exit(1);
}

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) Die(name + " needs a value");
    if (name == "--runs") {
      options.runs = std::max(std::atoi(argv[i + 1]), 1);
    } else if (name == "--rounds") {
      options.rounds = std::max(std::atoi(argv[i + 1]), 1);
    } else if (name == "--isolate") {
      options.isolate = argv[i + 1];
    } else if (name == "--only") {
      options.only = argv[i + 1];
    } else if (name == "--leak") {
      options.leak = std::atoi(argv[i + 1]);
    } else if (name == "--fairness") {
      options.fairness = std::atoi(argv[i + 1]);
    } else {
      Die("unknown option " + name + "; see the top of tests/bench/main.cpp");
    }
  }
  return options;
}

void MustExit(const StageOutcome& outcome) {
  if (outcome.killed != StageOutcome::Killed::kNo || outcome.exit_code != 0)
    Die("a run failed: " + outcome.error + " " + outcome.stderr_data);
}

std::unique_ptr<Box> MustMake(Result<std::unique_ptr<Box>> box) {
  if (!box.ok()) Die(box.status().ToString());
  return std::move(*box);
}

// A stage in a box that is there; box, stage and removal; a box with a file, cloned, and a stage in
// the clone, as tests[] run.
void AddEngine(Sandbox& sandbox, const std::string& name, const BoxEnvironment& environment,
               std::vector<std::unique_ptr<Box>>* boxes, std::vector<Contestant>* contestants) {
  const size_t first = boxes->size();
  for (int worker = 0; worker < kMaxWorkers; ++worker)
    boxes->push_back(MustMake(sandbox.NewBox(environment, kDisk)));
  contestants->push_back({name + ", box made and removed", 1, [&sandbox, environment](int) {
                            (void)MustMake(sandbox.NewBox(environment, kDisk));
                          }});
  for (int workers = 1; workers <= kMaxWorkers; ++workers) {
    contestants->push_back(
        {name + ", stage", workers, [boxes, first](int worker) {
           MustExit((*boxes)[first + static_cast<size_t>(worker)]->Run(World::Spec({}), {}));
         }});
    contestants->push_back(
        {name + ", whole cycle", workers, [&sandbox, environment](int) {
           MustExit(MustMake(sandbox.NewBox(environment, kDisk))->Run(World::Spec({}), {}));
         }});
  }
}

// A box with one file of so many bytes, copied, a stage in the copy: a test of tests[].
void AddClones(Sandbox& sandbox, const BoxEnvironment& environment,
               std::vector<std::unique_ptr<Box>>* boxes, std::vector<Contestant>* contestants) {
  for (const int64_t kib : {16, 1024, 16 * 1024}) {
    boxes->push_back(MustMake(sandbox.NewBox(environment, kDisk)));
    Box* const box = boxes->back().get();
    const Status written =
        box->WriteFile({"program", std::string(static_cast<size_t>(kib) << 10, 'x'), true});
    if (!written.ok()) Die(written.ToString());
    contestants->push_back(
        {"native, stage in a copy of " + std::to_string(kib) + " KiB", 1, [box](int) {
           Result<std::unique_ptr<Box>> clone = box->Clone();
           MustExit(MustMake(std::move(clone))->Run(World::Spec({}), {}));
         }});
  }
}

std::unique_ptr<Sandbox> MustMakeNative(const World& world) {
  Result<std::unique_ptr<Sandbox>> native = world.MakeSandbox("native", kMaxWorkers, "");
  if (!native.ok()) Die(native.status().ToString());
  std::printf("native: %s%s\n", (*native)->Info().detail.c_str(),
              (*native)->Info().degraded ? " (DEGRADED: no memory and pids limits)" : "");
  return std::move(*native);
}

void Leak(int cycles) {
  const World world;
  const std::unique_ptr<Sandbox> native = MustMakeNative(world);
  for (int i = 1; i <= cycles; ++i) {
    MustExit(MustMake(native->NewBox(world.environment(), kDisk))
                 ->Run(World::Spec({"stdout", "1000"}), {}));
    if (i == 1000 || i == cycles || (cycles >= 10 && i % (cycles / 10) == 0))
      std::printf("%6d cycles: %s\n", i, MemoryOfThisProcess().c_str());
  }
}

void Fairness(int runs) {
  const World world;
  const std::unique_ptr<Sandbox> native = MustMakeNative(world);
  std::vector<double> medians;
  for (const int workers : {1, kMaxWorkers, 1, kMaxWorkers}) {
    std::mutex mutex;
    std::vector<double> millis;
    (void)Measure(workers, runs, [&](int) {
      const StageOutcome outcome =
          MustMake(native->NewBox(world.environment(), kDisk))->Run(World::Spec({"work"}), {});
      MustExit(outcome);
      const std::lock_guard lock(mutex);
      millis.push_back(static_cast<double>(outcome.cpu_time_micros) / 1000);
    });
    std::sort(millis.begin(), millis.end());
    std::printf("%d at a time: median %.2f ms of CPU, fastest %.2f, 9 of 10 below %.2f\n", workers,
                millis[millis.size() / 2], millis.front(), millis[millis.size() * 9 / 10]);
    medians.push_back(millis[millis.size() / 2]);
  }
  const double alone = medians[0] + medians[2];
  std::printf("all slots busy / alone: %.3f\n", (medians[1] + medians[3]) / alone);
}

void Print(const std::vector<Contestant>& contestants) {
  const auto find = [&](const std::string& name, int workers) -> const Contestant* {
    for (const Contestant& contestant : contestants) {
      if (contestant.name.starts_with(name) && contestant.workers == workers) return &contestant;
    }
    return nullptr;
  };
  std::printf("%-34s %7s %9s %7s %7s | %13s | %13s\n", "", "workers", "median ms", "CPU ms",
              "per s", "/ posix_spawn", "isolate / this");
  for (const Contestant& contestant : contestants) {
    const Contestant* const spawn = find("posix_spawn", contestant.workers);
    const Contestant* const isolate = find("isolate init", contestant.workers);
    const double median = contestant.times.Median();
    const double cpu = contestant.times.Cpu();
    std::printf("%-34s %7d %9.3f %7.3f %7.0f |", contestant.name.c_str(), contestant.workers,
                median * 1000, cpu * 1000, contestant.times.PerSecond());
    if (spawn != nullptr)
      std::printf(" %6.2f %6.2f |", median / spawn->times.Median(), cpu / spawn->times.Cpu());
    if (isolate != nullptr)
      std::printf(" %6.2f %6.2f", isolate->times.Median() / median, isolate->times.Cpu() / cpu);
    std::printf("\n");
  }
  std::printf("Ratios: of medians, then of CPU time a run.\n");
  for (int workers = 1; workers <= kMaxWorkers; ++workers) {
    const Contestant* const native = find("native, whole cycle", workers);
    const Contestant* const spawn = find("posix_spawn", workers);
    const Contestant* const isolate = find("isolate init", workers);
    if (native == nullptr || spawn == nullptr) continue;
    std::printf("native, %d at a time: %.2f x posix_spawn by wall, %.2f by CPU (goal: at most 2.5)",
                workers, native->times.Median() / spawn->times.Median(),
                native->times.Cpu() / spawn->times.Cpu());
    if (isolate != nullptr) {
      std::printf(
          "; 1/%.1f of isolate's cycle by wall, 1/%.1f by CPU (goal: at most 1/8, with --cg)",
          isolate->times.Median() / native->times.Median(),
          isolate->times.Cpu() / native->times.Cpu());
    }
    std::printf("\n");
  }
}

void Run(const Options& options) {
  const World world;
  std::unique_ptr<RawIsolate> raw;
  if (!options.isolate.empty()) {
    Result<std::unique_ptr<RawIsolate>> made = RawIsolate::Make(world, options.isolate);
    if (!made.ok()) Die(made.status().ToString());
    raw = std::move(*made);
  }
  std::vector<Contestant> contestants;
  for (int workers = 1; workers <= kMaxWorkers; ++workers) {
    contestants.push_back(
        {"posix_spawn", workers, [&world](int) { SpawnAndWait({world.noop()}); }});
  }
  const std::unique_ptr<Sandbox> native = MustMakeNative(world);
  std::vector<std::unique_ptr<Box>> boxes;
  AddEngine(*native, "native", world.environment(), &boxes, &contestants);
  AddClones(*native, world.environment(), &boxes, &contestants);

  Result<std::unique_ptr<Sandbox>> isolate = Unavailable("not asked for");
  if (raw != nullptr) {
    raw->UseControlGroups();
    const std::string how =
        raw->control_groups() ? "isolate init+run+cleanup" : "isolate init+run+cleanup, no --cg";
    for (int workers = 1; workers <= kMaxWorkers; ++workers)
      contestants.push_back({how, workers, [&raw](int worker) { raw->Cycle(worker); }});
    isolate = world.MakeSandbox("isolate", kMaxWorkers, options.isolate);
    if (isolate.ok()) {
      AddEngine(**isolate, "isolate engine", world.environment(), &boxes, &contestants);
    } else {
      std::printf("isolate engine: not measured: %s\n", isolate.status().ToString().c_str());
    }
  }
  std::erase_if(contestants, [&](const Contestant& contestant) {
    return contestant.name.find(options.only) == std::string::npos;
  });
  for (Contestant& contestant : contestants) (void)Measure(contestant.workers, 3, contestant.once);
  for (int round = 0; round < options.rounds; ++round) {
    for (Contestant& contestant : contestants)
      contestant.times.Add(Measure(contestant.workers, options.runs, contestant.once));
  }
  Print(contestants);
  boxes.clear();
}

}  // namespace
}  // namespace envicutor::agent::bench

int main(int argc, char** argv) {
  using namespace envicutor::agent::bench;
  const Options options = Parse(argc, argv);
  if (options.leak > 0) {
    Leak(options.leak);
  } else if (options.fairness > 0) {
    Fairness(options.fairness);
  } else {
    Run(options);
  }
  return 0;
}

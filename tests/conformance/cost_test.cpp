// What a box costs, as a ratio to posix_spawn of the same program in the same run. Printed, and
// bounded loosely: absolute times of a test machine mean nothing.
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <iostream>

#include "tests/conformance/fixture.h"

namespace envicutor::agent {
namespace {

double MedianMillis(int runs, const std::function<void()>& once) {
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    once();
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
            .count());
  }
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[static_cast<size_t>(runs / 2)];
}

TEST_P(Conformance, WhatABoxCosts) {
  const std::string probe = Environment().view_dir + "/tools/probe";
  const auto spawn = [&] {
    std::string name = "probe";
    std::array<char*, 2> argv{name.data(), nullptr};
    pid_t pid = -1;
    ASSERT_EQ(::posix_spawn(&pid, probe.c_str(), nullptr, nullptr, argv.data(), nullptr), 0);
    ::waitpid(pid, nullptr, 0);
  };
  const auto box = NewBox();
  const auto stage = [&] { EXPECT_EQ(ProbeIn(*box, {}).exit_code, 0); };
  const auto cycle = [&] { EXPECT_EQ(Probe({}).exit_code, 0); };
  for (int i = 0; i < 3; ++i) cycle();
  const char* text = std::getenv("ENVICUTOR_COST_RUNS");
  const int runs = text == nullptr ? 31 : std::max(std::atoi(text), 1);
  const double spawn_millis = MedianMillis(runs, spawn);
  const double stage_millis = MedianMillis(runs, stage);
  const double cycle_millis = MedianMillis(runs, cycle);
  std::cout << "posix_spawn " << spawn_millis << " ms; a stage " << stage_millis << " ms ("
            << stage_millis / spawn_millis << " x); box, stage and removal " << cycle_millis
            << " ms (" << cycle_millis / spawn_millis << " x)\n";
  RecordProperty("stage_over_spawn", std::to_string(stage_millis / spawn_millis));
  RecordProperty("cycle_over_spawn", std::to_string(cycle_millis / spawn_millis));
  // isolate's own init, run and clean-up cost about 15 times a posix_spawn.
  EXPECT_LT(cycle_millis / spawn_millis, GetParam() == "isolate" ? 40 : 20);
}

}  // namespace
}  // namespace envicutor::agent

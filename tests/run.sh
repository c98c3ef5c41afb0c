#!/usr/bin/env bash
# All tests, from a clean checkout, as root on Debian 12:   tests/run.sh [STAGE...]
#
# Stages, in order (all by default):
#   packages   install what is missing (.ci/packages)
#   lint       dependencies go one way; clang-format; pages lead somewhere and name what exists
#   build      the release build, tests included
#   unit       GoogleTest programs and the seeded simulation
#   sandbox    the conformance suite in the cgroup-v2 test machine (tests/node)
#   nix        environments built for real with Nix
#   cache      a signed cache spoiled in every way, faults, a second node that only fetches
#   e2e        envicutor up, kubectl, every sample program, chaos, lifecycle
#   docs       the commands of getting-started and the tutorials, typed one after the other
#   observe    Prometheus scrapes a running system: every metric, alert and panel; logs and events
#   real       CRDs, operator and node against a real kube-apiserver (tests/tools builds it where there is Go)
#   helm       the chart with the real helm: rendered, validated, installed, upgraded, uninstalled
#   images     all images built with buildah; the executor's is booted and runs a program
#   chaos      operators, executors, node and API server through a bad network, stops, kills, full disks, clock jumps
#   fuzz       every parser of bytes from outside, a minute of libFuzzer with sanitizers (clang)
#   load       the load generator as a test: everything finishes, with two writes each; no speed
#   asan       unit programs under address and undefined-behaviour sanitizers
#   tidy       clang-tidy over every source that is shipped (tests/tidy); with ENVICUTOR_TEST_SECONDS, as many as fit
# With ENVICUTOR_TEST_SECONDS set (.ci/run), a stage that would not end within it is skipped, in words.
# Each stage's output goes to build/test-logs/STAGE.log; a failed one shows its end. The last lines
# say what ran, what was skipped and why.
set -uo pipefail
cd "$(dirname "$0")/.."
logs=build/test-logs
mkdir -p "$logs"
stages=("$@")
[ ${#stages[@]} -gt 0 ] && all="" || all=yes
[ -n "$all" ] && stages=(packages lint build unit sandbox nix cache e2e docs observe real helm images chaos fuzz load asan tidy)
jobs=${JOBS:-$(nproc)}
export CTEST_OUTPUT_ON_FAILURE=1
passed=0 failed=0 skipped=0
ran=()  # logs of this run: others lie beside them
summary=() late=""
# What a stage takes on two cores, built ahead, in seconds: what is not here is never skipped.
declare -A takes=([helm]=300 [images]=240 [chaos]=150 [fuzz]=180 [load]=90 [asan]=240 [tidy]=200)

count() {  # count LOG REGEX: how many lines match
  grep -cE "$2" "$1" 2>/dev/null || true
}

tally() {  # tally STAGE STATUS LOG: adds the tests that the runners in LOG counted, or the stage itself
  local stage=$1 status=$2 log=$3 ok bad skip
  ok=$(count "$log" '^\[       OK \]')
  bad=$(count "$log" '^\[  FAILED  \].*\([0-9]+ ms\)$')
  skip=$(count "$log" '^\[  SKIPPED \].*\([0-9]+ ms\)$')
  # unittest: "Ran 39 tests in 62.107s", "OK"
  if grep -qE '^OK' "$log"; then
    ok=$((ok + $(grep -oE '^Ran [0-9]+ tests' "$log" | awk '{ n += $2 } END { print n + 0 }')))
  fi
  # pytest: "61 passed, 1 failed, 2 skipped in 3.21s"
  local line
  line=$(grep -E '^(=+ )?[0-9]+ (passed|failed|skipped|error).* in [0-9.]+s' "$log" | tail -n 1)
  for word in passed failed skipped error; do
    local n
    n=$(grep -oE "[0-9]+ $word" <<<"$line" | head -n 1 | cut -d' ' -f1)
    case $word in passed) ok=$((ok + ${n:-0})) ;; skipped) skip=$((skip + ${n:-0})) ;; *) bad=$((bad + ${n:-0})) ;; esac
  done
  if [ $((ok + bad + skip)) -eq 0 ]; then
    [ "$status" -eq 0 ] && ok=1 || bad=1
  elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
    bad=1
  fi
  passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
  summary+=("$(printf '%-9s %4d passed %3d failed %3d skipped' "$stage" "$ok" "$bad" "$skip")")
}

stage() {  # stage NAME COMMAND...
  local name=$1 log started status
  shift
  if [ $((SECONDS + ${takes[$name]:-0})) -gt "${ENVICUTOR_TEST_SECONDS:-999999}" ]; then
    late+="${late:+, }$name"
    summary+=("$(printf '%-9s skipped: it would not end within %d s' "$name" "$ENVICUTOR_TEST_SECONDS")")
    printf '== %s\n   %s\n' "$name" "${summary[-1]}"
    return 0
  fi
  log=$logs/$name.log
  ran+=("$log")
  started=$SECONDS
  printf '== %s\n' "$name"
  # Without colours, and without ctest's number before each line: one form for tally and for people.
  "$@" </dev/null 2>&1 | sed -u 's/\x1b\[[0-9;]*[mK]//g; s/^[0-9]*: //' >"$log"
  status=${PIPESTATUS[0]}
  if [ "$status" -ne 0 ]; then
    printf '   failed (exit %d); the end of %s:\n' "$status" "$log"
    grep -E '^(\[  FAILED  \]|FAILED |ERROR |E   |.*error:|.*Failure$)' "$log" | head -n 40 | sed 's/^/   | /'
    tail -n 60 "$log" | sed 's/^/   | /'
  fi
  tally "$name" "$status" "$log"
  printf '   %s, %d s\n' "${summary[-1]}" $((SECONDS - started))
  return "$status"
}

# Compiled ahead in a run of all stages, one after the other, with the CPU that the machines and the
# waiting of the stages before leave idle. A stage that needs it waits for it here and then builds
# what is missing itself, so that what failed is reported there.
asan_programs=(base_test http_test metrics_test kube_test api_test schema_test agent_test store_test)
ahead_pid=""
build_ahead() {
  local step
  # Idle among processes, and among sessions, which the kernel weighs first (autogroups).
  chrt -i -p 0 $BASHPID || renice 19 $BASHPID
  [ ! -w /proc/self/autogroup ] || echo 19 >/proc/self/autogroup
  for step in real fuzz asan tidy; do
    case $step in
      real) tests/tools/build kube-apiserver kube-controller-manager helm ;;
      fuzz) configure fuzz fuzzers ;;
      asan) configure asan "${asan_programs[@]}" ;;
      # What is found clean is remembered; findings are the stage's to tell.
      tidy) python3 tests/tidy/run.py --seconds 1500 ;;
    esac
    touch "$logs/$step.ahead"
  done
}
start_ahead() {
  rm -f "$logs"/*.ahead
  setsid tests/run.sh ahead >"$logs/ahead.txt" 2>&1 </dev/null &
  ahead_pid=$!
  trap 'kill -- -$ahead_pid 2>/dev/null' EXIT
}
wait_ahead() {  # wait_ahead STEP
  [ -n "$ahead_pid" ] || return 0
  until [ -e "$logs/$1.ahead" ] || ! kill -0 "$ahead_pid" 2>/dev/null; do sleep 1; done
}

configure() {  # configure PRESET [TARGET...]
  local preset=$1
  shift
  cmake --preset "$preset" && cmake --build --preset "$preset" -j "$jobs" ${1:+--target "$@"}
}

lint() {
  python3 tests/rooms.py && python3 tests/guarantees.py || return 1
  python3 tests/documented.py && /usr/bin/python3 docs/reference/generate --check &&
    /usr/bin/python3 tests/docs/check.py || return 1
  git ls-files '*.h' '*.cpp' | xargs -r clang-format --dry-run -Werror
}

unit() { ctest --test-dir "build/$1" -L 'unit|sim' -V -j "$jobs"; }

# Whole in the cgroup-v2 machine, degraded in it, and what runs of it on the host.
sandbox() { ctest --test-dir build/release -L sandbox -V; }

# The rooms that read bytes from outside; the rest is the same code on top (preset asan builds all).
asan() {
  wait_ahead asan
  configure asan "${asan_programs[@]}" &&
    ctest --test-dir build/asan -R "^($(IFS='|'; echo "${asan_programs[*]}"))\$" -V -j "$jobs"
}

# What was not looked at ahead, which nothing after this waits for.
tidy() {
  [ -z "$ahead_pid" ] || kill -- "-$ahead_pid" 2>/dev/null
  python3 tests/tidy/run.py ${ENVICUTOR_TEST_SECONDS:+--seconds 180}
}

e2e() {
  ENVICUTOR_BIN="$PWD/build/release/bin" /usr/bin/python3 -m pytest tests/e2e
}

docs() {
  ENVICUTOR_BIN="$PWD/build/release/bin" /usr/bin/python3 -m pytest tests/docs
}

observe() {
  ENVICUTOR_BIN="$PWD/build/release/bin" /usr/bin/python3 -m pytest tests/observability
}

cache() {
  ENVICUTOR_BIN="$PWD/build/release/bin" /usr/bin/python3 -m pytest tests/cache
}

# Each fault once; ENVICUTOR_CHAOS_ROUNDS makes it long.
chaos() { /usr/bin/python3 -m pytest tests/chaos; }

fuzz() {
  wait_ahead fuzz
  configure fuzz fuzzers && tests/fuzz/run.sh build/fuzz 60
}

load() {
  ENVICUTOR_BIN="$PWD/build/release/bin" /usr/bin/python3 -m pytest tests/load
}

real() {
  wait_ahead real
  /usr/bin/python3 -m pytest tests/real
}

helm() { ENVICUTOR_BIN="$PWD/build/release/bin" /usr/bin/python3 -m pytest tests/helm; }

images() { ENVICUTOR_BIN="$PWD/build/release/bin" /usr/bin/python3 -m pytest tests/images; }

finish() {
  echo
  echo "What ran:"
  printf '  %s\n' "${summary[@]}"
  echo "$passed passed, $failed failed, $skipped skipped"
  # The last line: what was skipped, and why.
  local why
  why=$(cat "${ran[@]}" /dev/null |
    awk '/: Skipped$/ { getline; print } /^SKIPPED \[[0-9]+\]/ { $1 = $2 = $3 = ""; print }' |
    sed 's/^ *//' | sort | uniq -c | sort -rn | head -n 12 | awk '{ n = $1; $1 = ""; print $0 " (" n ")" }' | paste -sd ';')
  [ -n "$late" ] && why+="${why:+; }no time was left for the stages $late (run tests/run.sh STAGE)"
  echo "Skipped: ${why:-nothing}"
  [ "$failed" -eq 0 ]
}

for name in "${stages[@]}"; do
  case $name in
    packages) stage packages .ci/install-packages build run test || { finish; exit 1; } ;;
    lint) stage lint lint ;;
    build)
      stage build configure release || { finish; exit 1; }
      [ -z "$all" ] || start_ahead
      ;;
    unit) stage unit unit release ;;
    sandbox) stage sandbox sandbox ;;
    nix) stage nix tests/nix/run.sh build/release/bin ;;
    cache) stage cache cache ;;
    e2e) stage e2e e2e ;;
    docs) stage docs docs ;;
    observe) stage observe observe ;;
    real) stage real real ;;
    load) stage load load ;;
    helm) stage helm helm ;;
    images) stage images images ;;
    chaos) stage chaos chaos ;;
    fuzz) stage fuzz fuzz ;;
    asan) stage asan asan ;;
    tidy) stage tidy tidy ;;
    ahead) build_ahead; exit ;;  # only for start_ahead
    *) echo "unknown stage $name; see the top of tests/run.sh" >&2; exit 2 ;;
  esac
done
finish

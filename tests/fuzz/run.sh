#!/usr/bin/env bash
# Runs every fuzz target for a while, all side by side: tests/fuzz/run.sh BUILD_DIR [SECONDS].
# Fails when one finds something; its input is then in BUILD_DIR/found, and belongs into tests/fuzz/corpus/TARGET.
# New inputs are kept in BUILD_DIR/fuzz-corpus for the next time.
set -uo pipefail
build=$1
seconds=${2:-60}
corpus=$(dirname "$0")/corpus
found=$build/found
logs=$build/fuzz-logs
mkdir -p "$found" "$logs"
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1

one() {  # one TARGET: prints what it did, fails with what it found
  local target=$1 name status=0
  name=$(basename "$target")
  mkdir -p "$build/fuzz-corpus/$name"
  # The first folder gets new inputs, the second is only read.
  timeout -k 5 $((seconds + 60)) "$target" -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=512 \
    -timeout=20 -max_len=16384 -print_final_stats=1 -verbosity=0 -close_fd_mask=1 \
    -artifact_prefix="$found/$name-" "$build/fuzz-corpus/$name" "$corpus/$name" >"$logs/$name.log" 2>&1 || status=$?
  if [ "$status" -ne 0 ]; then
    echo "[  FAILED  ] $name (exit $status)"
    grep -vE '^stat::' "$logs/$name.log" | tail -n 40 | sed 's/^/    /'
    return 1
  fi
  awk -v name="$name" -v seconds="$seconds" '/number_of_executed_units/ { n = $2 } END {
    printf "[       OK ] %s: %d inputs in %d s (%d ms)\n", name, n, seconds, seconds * 1000 }' "$logs/$name.log"
}
export -f one
export build seconds corpus found logs

targets=("$build"/bin/fuzz_*)
[ -x "${targets[0]}" ] || { echo "no fuzz targets in $build/bin: build the target \"fuzzers\"" >&2; exit 2; }
printf '%s\n' "${targets[@]}" | xargs -P 0 -I{} bash -c 'one "$1"' one {}

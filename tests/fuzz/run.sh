#!/bin/sh
# Runs every fuzz target for a while: tests/fuzz/run.sh BUILD_DIR [SECONDS]. Fails when one finds something;
# its input is then in the current folder.
set -eu
build=$1
seconds=${2:-60}
corpus=$(dirname "$0")/corpus
found=0
for target in "$build"/bin/fuzz_*; do
  name=$(basename "$target")
  work=$(mktemp -d)
  echo "== $name, $seconds s"
  # New inputs go to the first folder, the seeds are only read.
  "$target" -max_total_time="$seconds" -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 \
    -verbosity=0 "$work" $( [ -d "$corpus/$name" ] && echo "$corpus/$name" ) || found=1
  rm -rf "$work"
done
exit $found

#!/bin/sh
# tests/nix/run.sh BIN-DIR: the builder with the real Nix (nix_test.py says what it needs).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec python3 "$here/nix_test.py" --builder "${1:?usage: run.sh BIN-DIR}/envicutor-builder"

#!/bin/sh
# Measures Envicutor on this machine and prints every figure beside its baseline of the same run.
#
#   tests/load/run.sh [--quick|--scale S] [--api embedded|real] [--parts bare,low,high,against,open,contest,agent,restart,memory] [--json FILE]
#
# In a network namespace of its own, bounded, needs root. Environment:
#   ENVICUTOR_BIN  folder of the binaries, envicutor-load among them (default build/release/bin)
#   ISOLATE        an isolate 2.6 binary: its loop is a baseline
#   GO_JUDGE       a go-judge binary (go install github.com/criyle/go-judge/cmd/go-judge@v1.8.5)
cd "$(dirname "$0")/../.." || exit 2
exec /usr/bin/python3 tests/load/measure.py "$@"

#!/bin/sh

# Runs each fuzzer that "make fuzz" has built for so many seconds, from its
# seeds and from what earlier runs found.
# Usage: sh t/fuzz/run.sh [SECONDS [BUILD]]

set -eu

cd "$(dirname "$0")/../.."
seconds=${1:-60}
build=${2:-build}

for name in json audience path; do
    found=$build/fuzz/corpus/$name
    mkdir -p "$found"

    "$build/fuzz/${name}_fuzz" -max_total_time="$seconds" -max_len=4096 \
        -dict="t/fuzz/$name.dict" -artifact_prefix="$build/fuzz/" \
        -print_final_stats=1 -verbosity=0 "$found" "t/fuzz/corpus/$name" \
        > "$build/fuzz/$name.log" 2>&1 || {
            cat "$build/fuzz/$name.log"
            exit 1
        }

    echo "$name: $(sed -n 's/.*executed_units: *//p' \
        "$build/fuzz/$name.log") inputs, nothing found"
done

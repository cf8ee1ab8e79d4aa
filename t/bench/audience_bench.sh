#!/bin/sh

# What checking and writing one typical body costs, in instructions.
# Usage: sh t/bench/audience_bench.sh [BUILD]

set -eu

cd "$(dirname "$0")/../.."
build=${1:-build}
mkdir -p "$build"

${CC:-cc} ${CFLAGS:--O2 -g} -Isrc/audience -o "$build/audience_bench" \
    t/bench/audience_bench.c src/audience/*.c -ljansson

count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null \
        "$build/audience_bench" "$1" 2>&1 > /dev/null \
        | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

short=$(count 1000)
long=$(count 2000)

echo "$("$build/audience_bench" 1) bytes," \
    "$(((long - short) / 1000)) instructions"

#!/bin/sh
# Stands between cargo and rustc for the crates of the workspace: compiles them so that libFuzzer sees which code runs, as
# `cargo fuzz` does. Dependencies stay as they are, so that they are built once for tests and fuzzing.
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Copt-level=1

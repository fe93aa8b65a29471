#!/usr/bin/env bash
# fuzz.sh SECONDS: each fuzz target for so long; what is found grows a corpus in target/fuzz/, a crash is written beside it.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
cd "$root"
seconds=${1:?seconds for each target}
target=${CARGO_TARGET_DIR:-$root/target}
targets=(admission conversion events manifest protocol)

RUSTC_WORKSPACE_WRAPPER="$tools/instrument.sh" cargo build --workspace --locked --quiet "${targets[@]/#/--bin=}"
for name in "${targets[@]}"; do
  corpus=$target/fuzz/$name
  mkdir -p "$corpus"
  dictionary=()
  [ "$name" != manifest ] || cp -n examples/bookstore/*.yaml "$corpus"
  [ "$name" != admission ] || cp -n fuzz/pods/*.json "$corpus"
  [ ! -e "fuzz/$name.dict" ] || dictionary=(-dict="fuzz/$name.dict")
  say "fuzzing $name for $seconds s"
  log=$target/fuzz/$name.log
  "$target/debug/$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=4096 -artifact_prefix="$target/fuzz/crash-$name-" \
    "${dictionary[@]}" "$corpus" >"$log" 2>&1 || { tail -n 40 "$log"; fail "$name: a crash; run $target/debug/$name on the file named above"; }
  tail -n 1 "$log"
done

#!/usr/bin/env bash
# test.sh: everything that a change must pass, one step after the other; at the end a table of where the time went.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
cd "$root"
# A run builds once; and this version of rustc breaks down over incremental builds of smidge-operator now and then.
export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}
# Tests that run the command itself take the one that the build step made.
export SMIDGE=${CARGO_TARGET_DIR:-$root/target}/debug/smidge

table=()
step() {
  local name=$1 begin=$SECONDS
  shift
  printf '\n▶ %s: %s\n' "$name" "$*"
  current="$name" began=$begin
  "$@"
  current=
  table+=("$(printf '%6d s  %s' $((SECONDS - begin)) "$name")")
}
finish() {
  local status=$?
  [ -z "${current:-}" ] || table+=("$(printf '%6d s  %s: FAILED' $((SECONDS - began)) "$current")")
  "$tools/clean.sh"
  printf '\nWhere the time went\n'
  printf '%s\n' "${table[@]:-}"
  printf '%6d s  all\n' "$SECONDS"
  exit "$status"
}
trap finish EXIT

# The checkout's own target folder serves every step, and no step asks for other features than the others.
step "prerequisites" "$tools/prerequisites.sh" test
step "Debian packages" "$tools/debian.sh" test
step "Envoy" "$tools/envoy.sh"
step "Kubernetes, containerd, CoreDNS" "$tools/k8s.sh" node
step "format" cargo fmt --all --check
step "dependencies" "$tools/deny.sh"
step "lint" cargo clippy --workspace --all-targets --test cluster_under_load --test chaos --locked --quiet -- -D warnings
step "build" cargo build --workspace --all-targets --locked --quiet
step "test" "$tools/run_tests.sh"
step "fuzz" "$tools/fuzz.sh" "${FUZZ_SECONDS:-10}"

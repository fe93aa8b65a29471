#!/usr/bin/env bash
# run_tests.sh: builds all tests and runs their programs, most two at once, since they wait more than they compute; tests of
# one program run beside each other anyway, and what they need of the machine is theirs alone. What a program says comes out whole
# when it has ended; which ones have failed stands at the end.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
cd "$root"

# run FOLDER PROGRAM: as cargo would, in the folder of its crate.
run() {
  local began=$SECONDS status=0 said=$logs/${2##*/}
  (cd "$1" && "$2") >"$said" 2>&1 || status=$?
  {
    flock 9
    printf '\n▶ %s: %d s\n' "${2##*/}" $((SECONDS - began))
    cat "$said"
    [ $status = 0 ] || printf '✗ %s\n' "${2##*/}" >>"$failed"
  } 9>"$logs/turn"
}
logs=$(mktemp -d "${TMPDIR:-/tmp}/smidge-tests-XXXXXX")
trap 'rm -rf -- "$logs"' EXIT
failed=$logs/failed
export -f run
export logs failed

cargo test --workspace --locked --no-run --message-format=json-render-diagnostics >"$logs/built"
# The node's tests keep both cores busy by themselves.
sed -nE 's|.*"manifest_path":"([^"]*)/Cargo.toml".*"profile":\{[^}]*"test":true\}.*"executable":"([^"]+)".*|\1 \2|p' "$logs/built" >"$logs/programs"
at_once() {
  xargs --no-run-if-empty --max-procs="$1" --max-lines=1 bash -c 'run "$@"' run
}
{ grep '/cluster-[^/]*$' "$logs/programs" || true; } | at_once 1
{ grep -v '/cluster-[^/]*$' "$logs/programs" || true; } | at_once 2
cargo test --workspace --locked --doc --quiet
[ ! -e "$failed" ] || fail "failed: $(tr '\n' ' ' <"$failed")"

#!/usr/bin/env bash
# before.sh: builds the smidge of the version before (the tag $BEFORE, else that of the last stage) into the cache, once, and prints
# its path. In a target folder of its own: cargo would take two checkouts of one crate for the same.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
cd "$root"
before=${BEFORE:-issue-4}

commit=$(git rev-parse --verify --quiet --short "$before^{commit}") ||
  fail "the tag $before is missing: get it with 'git fetch --tags', or name another commit in BEFORE"
program=$SMIDGE_CACHE/bin/smidge-$commit
if [ ! -x "$program" ]; then
  work=$(mktemp -d "${TMPDIR:-/tmp}/smidge-before-XXXXXX")
  trap 'git worktree remove --force "$work/checkout" >&2; rm -rf -- "$work"' EXIT
  git worktree add --quiet --force --detach "$work/checkout" "$commit" >&2
  say "building smidge of $before (ten minutes, once)" >&2
  (cd "$work/checkout" && CARGO_TARGET_DIR=$work/target cargo build --workspace --locked --quiet --bin smidge) >&2
  cp "$work/target/debug/smidge" "$program.new"
  mv "$program.new" "$program"
fi
printf '%s\n' "$program"

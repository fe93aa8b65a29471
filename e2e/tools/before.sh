#!/usr/bin/env bash
# before.sh: builds the smidge of the version before (the tag $BEFORE, else that of the last stage) into the cache and prints its path. In the same target
# folder, so that only our own crates are built; what cargo had put there as `smidge` comes back with the next build.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"
cd "$root"
before=${BEFORE:-issue-4}

commit=$(git rev-parse --verify --quiet --short "$before^{commit}") ||
  fail "the tag $before is missing: get it with 'git fetch --tags', or name another commit in BEFORE"
program=$SMIDGE_CACHE/bin/smidge-$commit
if [ ! -x "$program" ]; then
  builds=${CARGO_TARGET_DIR:-$root/target}
  checkout=$(mktemp -d "${TMPDIR:-/tmp}/smidge-before-XXXXXX")
  trap 'git worktree remove --force "$checkout" >&2' EXIT
  git worktree add --quiet --force --detach "$checkout" "$commit" >&2
  say "building smidge of $before (minutes, once)" >&2
  (cd "$checkout" && CARGO_TARGET_DIR=$builds cargo build --workspace --locked --quiet --bin smidge) >&2
  cp "$builds/debug/smidge" "$program.new"
  mv "$program.new" "$program"
fi
printf '%s\n' "$program"

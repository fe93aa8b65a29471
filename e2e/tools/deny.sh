#!/usr/bin/env bash
# deny.sh: licences, duplicate versions and sources of all dependencies, by deny.toml.
# Advisories need a database that no package registry gives: `cargo deny check advisories` by hand where it can be fetched.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

deny=$SMIDGE_CACHE/cargo-deny-$CARGO_DENY_VERSION/bin/cargo-deny
if [ ! -x "$deny" ]; then
  say "installing cargo-deny $CARGO_DENY_VERSION (crates.io) into $SMIDGE_CACHE"
  build=$(mktemp -d)
  trap 'rm -rf "$build"' EXIT
  # Unoptimised: built once, runs for a second.
  cargo install --quiet --locked --debug --no-default-features --target-dir "$build" \
    --root "$SMIDGE_CACHE/cargo-deny-$CARGO_DENY_VERSION" "cargo-deny@$CARGO_DENY_VERSION"
fi
cd "$root"
"$deny" --all-features --locked check --hide-inclusion-graph bans licenses sources

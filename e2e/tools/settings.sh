# Sourced by the scripts of this folder: where things are kept, which versions, and how a script talks.
set -euo pipefail
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$tools/../.." && pwd)
. "$tools/versions.env"
export SMIDGE_CACHE=${SMIDGE_CACHE:-$HOME/.cache/smidge}
export ENVOY=${ENVOY:-$SMIDGE_CACHE/bin/envoy-$ENVOY_VERSION}
# On Debian the PATH of a user who is not root lacks nft.
export PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$SMIDGE_CACHE/bin"

say() { printf '• %s\n' "$*"; }
fail() { printf '✗ %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

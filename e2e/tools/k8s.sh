#!/usr/bin/env bash
# k8s.sh [--built]: etcd, kube-apiserver and kubectl, built from Go modules into the cache. With --built only tells whether they are.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

# name, version, package; an environment variable of a user's own program takes its place.
programs=(
  "etcd $ETCD_VERSION go.etcd.io/etcd/server/v3 ETCD"
  "kube-apiserver $KUBERNETES_VERSION k8s.io/kubernetes/cmd/kube-apiserver KUBE_APISERVER"
  "kubectl $KUBERNETES_VERSION k8s.io/kubernetes/cmd/kubectl KUBECTL"
)

# Is the program there already, or not needed?
present() {
  local name=$1 version=$2 own=$4
  [ -x "$SMIDGE_CACHE/bin/$name-$version" ] || [ -n "${!own:-}" ] || { [ -n "${KUBECONFIG:-}" ] && [ "$name" != kubectl ]; }
}

build() {
  local name=$1 version=$2 package=$3 flags="-s -w" module
  for module in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $module.gitVersion=$KUBERNETES_VERSION -X $module.gitMajor=1 -X $module.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES_VERSION")"
    flags+=" -X $module.gitTreeState=clean -X $module.buildDate=1970-01-01T00:00:00Z"
  done
  say "building $name $version from Go modules (minutes the first time)"
  (cd "$tools/k8s" && go build -trimpath -ldflags "$flags" -o "$SMIDGE_CACHE/bin/.$name.new" "$package")
  mv "$SMIDGE_CACHE/bin/.$name.new" "$SMIDGE_CACHE/bin/$name-$version"
}

export GOMODCACHE=$SMIDGE_CACHE/gomod GOCACHE=$SMIDGE_CACHE/gocache GOFLAGS="-mod=readonly -modcacherw -buildvcs=false"
export CGO_ENABLED=0 GOTOOLCHAIN=local
for program in "${programs[@]}"; do
  read -r -a fields <<<"$program"
  present "${fields[@]}" && continue
  [ "${1:-}" != --built ] || exit 1
  build "${fields[@]}"
done

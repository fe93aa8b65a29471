#!/usr/bin/env bash
# k8s.sh api|node [--built]: builds from Go modules into the cache what an API server needs, or a whole node.
# With --built only tells whether it is there.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

# name, version, module folder, package; an environment variable of a user's own program takes its place.
programs=(
  "etcd $ETCD_VERSION k8s go.etcd.io/etcd/server/v3 ETCD"
  "kube-apiserver $KUBERNETES_VERSION k8s k8s.io/kubernetes/cmd/kube-apiserver KUBE_APISERVER"
  "kubectl $KUBERNETES_VERSION k8s k8s.io/kubernetes/cmd/kubectl KUBECTL"
)
containerd=github.com/containerd/containerd/v2/cmd
plugins=github.com/containernetworking/plugins/plugins
node_programs=(
  "kube-controller-manager $KUBERNETES_VERSION k8s k8s.io/kubernetes/cmd/kube-controller-manager KUBE_CONTROLLER_MANAGER"
  "kube-scheduler $KUBERNETES_VERSION k8s k8s.io/kubernetes/cmd/kube-scheduler KUBE_SCHEDULER"
  "kubelet $KUBERNETES_VERSION k8s k8s.io/kubernetes/cmd/kubelet KUBELET"
  "kube-proxy $KUBERNETES_VERSION k8s k8s.io/kubernetes/cmd/kube-proxy KUBE_PROXY"
  "containerd $CONTAINERD_VERSION containerd $containerd/containerd CONTAINERD"
  "containerd-shim-runc-v2 $CONTAINERD_VERSION containerd $containerd/containerd-shim-runc-v2 CONTAINERD_SHIM"
  "ctr $CONTAINERD_VERSION containerd $containerd/ctr CTR"
  "cni-bridge $CNI_VERSION containerd $plugins/main/bridge CNI_BRIDGE"
  "cni-loopback $CNI_VERSION containerd $plugins/main/loopback CNI_LOOPBACK"
  "cni-host-local $CNI_VERSION containerd $plugins/ipam/host-local CNI_HOST_LOCAL"
  "cni-portmap $CNI_VERSION containerd $plugins/meta/portmap CNI_PORTMAP"
  "coredns $COREDNS_VERSION coredns . COREDNS"
)
case ${1:-} in
  api) ;;
  node) programs+=("${node_programs[@]}") ;;
  *) fail "usage: k8s.sh api|node [--built]" ;;
esac

# Is the program there already, or not needed?
present() {
  local name=$1 version=$2 own=$5
  [ -x "$SMIDGE_CACHE/bin/$name-$version" ] || [ -n "${!own:-}" ] || { [ -n "${KUBECONFIG:-}" ] && [ "$name" != kubectl ]; }
}

build() {
  local name=$1 version=$2 folder=$3 package=$4 flags="-s -w" module
  for module in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $module.gitVersion=$KUBERNETES_VERSION -X $module.gitMajor=1 -X $module.gitMinor=$(cut -d. -f2 <<<"$KUBERNETES_VERSION")"
    flags+=" -X $module.gitTreeState=clean -X $module.buildDate=1970-01-01T00:00:00Z"
  done
  say "building $name $version from Go modules (minutes the first time)"
  # The tags leave out containerd's drivers of file systems that no test uses.
  (cd "$tools/$folder" && go build -trimpath -tags no_btrfs,no_devmapper,no_zfs,no_aufs -ldflags "$flags" -o "$SMIDGE_CACHE/bin/.$name.new" "$package")
  mv "$SMIDGE_CACHE/bin/.$name.new" "$SMIDGE_CACHE/bin/$name-$version"
}

export GOMODCACHE=$SMIDGE_CACHE/gomod GOCACHE=$SMIDGE_CACHE/gocache GOFLAGS="-mod=readonly -modcacherw -buildvcs=false"
export CGO_ENABLED=0 GOTOOLCHAIN=local
for program in "${programs[@]}"; do
  read -r -a fields <<<"$program"
  present "${fields[@]}" && continue
  [ "${2:-}" != --built ] || exit 1
  build "${fields[@]}"
done

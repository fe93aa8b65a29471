# Runs first in the node's namespaces; $0 is the node's folder. What happens here is seen in these namespaces only.
set -e
mount --make-rshared / # containerd and the kubelet hand mounts on to pods
mount --bind "$0" "$0"
mount -t tmpfs tmpfs /run
mkdir /run/tunables
for folder in lib log; do
  mkdir -p "$0/var/$folder"
  mount --bind "$0/var/$folder" /var/$folder
done
# The kubelet insists on these settings of the machine: it is shown files that say so, and the real ones stay as they are.
for folder in kernel vm fs; do
  mount --bind /proc/sys/$folder /proc/sys/$folder
  mount -o remount,bind,ro /proc/sys/$folder
done
for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  name=${setting%=*}
  file=/run/tunables/${name##*/}
  echo "${setting#*=}" >"$file"
  mount --bind "$file" "/proc/sys/$name"
done
# Nothing but the node's own folder is written to.
mount -o remount,bind,ro /
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
ip link set lo up
# The node's own network card: a cable that ends in the same place. The default route lets virtual addresses find a way to
# kube-proxy's rules.
ip link add eth0 type veth peer name cable
ip link set cable up
ip link set eth0 up
ip addr add 10.99.0.2/24 dev eth0
ip addr add fd00:10:99::2/64 dev eth0 nodad
ip route add default dev eth0
ip -6 route add default dev eth0

#!/usr/bin/env bash
# debian.sh run|bench|test: installs the Debian packages whose programs are missing; says what is missing where it cannot.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

packages=()
need() { has "$1" || packages+=("$2"); }
need cc build-essential
need nft nftables
need ip iproute2
need setpriv util-linux
# Who is not root is root of a user namespace.
[ "$(id -u)" = 0 ] || need newuidmap uidmap
if [ "${1:-run}" = test ]; then
  need tcpdump tcpdump
  need openssl openssl
  need curl curl
  need faketime faketime
  need runc runc
  need psql postgresql-client
  compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || has postgres || packages+=(postgresql)
fi
[ ${#packages[@]} = 0 ] && exit 0

if ! has apt-get || [ "$(id -u)" != 0 ]; then
  say "please install, as root, what your system calls: ${packages[*]}"
  [ "${1:-run}" != test ] || exit 1
  exit 0
fi
say "installing Debian packages: ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
if [[ " ${packages[*]} " = *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
  # The tests start servers of their own; the package shall not start one on this machine.
  mkdir -p /etc/postgresql-common
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold "${packages[@]}" >/dev/null

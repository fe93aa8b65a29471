#!/bin/sh
# closure.sh FOLDER PROGRAM PATH [PROGRAM PATH ...]: makes FOLDER the root of an image that holds each program at its path, the
# libraries that it is linked with, and nothing else: no shell, no package manager.
set -eu
root=$1
shift
mkdir -p "$root/tmp" "$root/etc"
chmod 1777 "$root/tmp"
printf 'root:x:0:0::/:/\nnonroot:x:65532:65532::/:/\n' >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
# Names that a resolver needs no server for.
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
while [ $# -gt 0 ]; do
  install -D -m 755 "$1" "$root$2"
  libraries=$("$(dirname "$0")/libraries.sh" "$1")
  for library in $libraries; do
    install -D -m 755 "$(readlink -f "$library")" "$root$library"
  done
  shift 2
done

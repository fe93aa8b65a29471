#!/bin/sh
# libraries.sh PROGRAM: the shared libraries that a program loads, the loader among them, a path a line; none for a static program.
set -eu
if ! said=$(LC_ALL=C ldd "$1" 2>&1); then
  case $said in *"not a dynamic executable"*) exit 0 ;; esac
  printf 'ldd %s: %s\n' "$1" "$said" >&2
  exit 1
fi
case $said in
*"not found"*) printf 'ldd %s: %s\n' "$1" "$said" >&2 && exit 1 ;;
esac
# `libm.so.6 => /lib/…/libm.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`; the kernel's own linux-vdso has no path.
printf '%s\n' "$said" | sed -n 's|^[^/]*\(/[^ ]*\) (0x.*|\1|p'

#!/usr/bin/env bash
# clean.sh: takes away what killed test runs have left. Processes, mounts, namespaces and interfaces end with their owner by
# themselves; temporary folders do not. Folders of runs that are alive stay.
. "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

removed=0
for folder in "${TMPDIR:-/tmp}"/smidge-sandbox.* "${TMPDIR:-/tmp}"/smidge-{api,world}-*; do
  [ -d "$folder" ] || continue
  # A sandbox's owner holds a lock; a server that runs names its folder in its arguments.
  if [ -e "$folder/owner.lock" ]; then
    flock --nonblock "$folder/owner.lock" true || continue
  elif [ -n "$(find "$folder" -maxdepth 0 -mmin -1)" ]; then
    continue # Its owner may not have come to either yet.
  fi
  if pgrep --full -- "$folder" >/dev/null; then continue; fi
  rm -rf -- "$folder"
  removed=$((removed + 1))
done
[ $removed = 0 ] || say "removed $removed folders that killed runs had left"

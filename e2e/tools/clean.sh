#!/usr/bin/env bash
# clean.sh: takes away what killed test runs have left. Processes, mounts, namespaces and interfaces end with their owner by
# themselves; temporary folders do not, nor a node's cgroups where the shell that watches it was killed too. What belongs to
# runs that are alive stays.
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
# A node's cgroup bears the name of its folder.
while read -r cgroup; do
  [ ! -d "${TMPDIR:-/tmp}/${cgroup##*/}" ] || continue
  find "$cgroup" -depth -type d -exec rmdir {} +
  say "removed the cgroup $cgroup"
done < <(find /sys/fs/cgroup -maxdepth 2 -type d -name 'smidge-sandbox.node.*' 2>/dev/null)
[ $removed = 0 ] || say "removed $removed folders that killed runs had left"

# Runs outside when all processes of the node have ended; $0 is the node's folder, whose name its cgroups bear.
name=${0##*/}
for try in 1 2 3 4 5 6 7 8 9 10; do
  # A cgroup is busy for a moment after its last process.
  find /sys/fs/cgroup -path "*/$name*" -type d -depth -exec rmdir {} + 2>/dev/null
  [ -n "$(find /sys/fs/cgroup -name "$name" -type d)" ] || break
  sleep 0.1
done
rm -rf -- "$0"

//! The node's own cgroup: one folder in each hierarchy that this machine has mounted, of version 1 or 2. Mounts stay as they are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Makes the cgroup `name` and returns its folders. `after.sh` removes them.
pub(super) fn make(name: &str) -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    hierarchies(&mounts).into_iter().map(|hierarchy| make_in(&hierarchy, name)).collect()
}

fn make_in(hierarchy: &Path, name: &str) -> Result<PathBuf> {
    let folder = hierarchy.join(name);
    fs::create_dir(&folder).with_context(|| format!("cannot make the cgroup {}", folder.display()))?;
    for file in ["cpuset.cpus", "cpuset.mems"] {
        // In version 1 a new set is empty, and no process may enter it.
        let (from, to) = (hierarchy.join(file), folder.join(file));
        if from.exists() && to.exists() {
            fs::write(to, fs::read(from)?)?;
        }
    }
    Ok(folder)
}

/// Where cgroups are mounted, from the text of `/proc/self/mounts`.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let point = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(point))
    };
    mounts.lines().filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let old = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                   cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(hierarchies(old), ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"].map(PathBuf::from));
        assert_eq!(hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n"), [PathBuf::from("/sys/fs/cgroup")]);
    }
}

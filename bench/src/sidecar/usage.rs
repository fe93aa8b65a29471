//! What an Envoy holds in memory and has used of the CPU, by the kernel's account.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use smidge_sandbox::Pod;

/// The memory of one Envoy, in MiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    /// Resident, with the program's own pages, which all Envoys of a machine share.
    pub(super) resident: f64,
    /// Resident and its own.
    pub(super) anonymous: f64,
}

/// Of a pod's Envoy, now.
pub(super) fn memory(pod: &Pod) -> Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{}/status", pod.envoy()?.pid()?))?;
    let mib = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("/proc/…/status")?;
        let kib: f64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?;
        anyhow::Ok(kib / 1024.0)
    };
    Ok(Memory { resident: mib("VmRSS")?, anonymous: mib("RssAnon")? })
}

/// What all threads of a pod's Envoy have run until now.
pub(super) fn cpu(pod: &Pod) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{}/task", pod.envoy()?.pid()?))? {
        let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanoseconds = schedstat.split(' ').next().context("/proc/…/schedstat")?;
        sum += Duration::from_nanos(nanoseconds.parse()?);
    }
    Ok(sum)
}

/// A table of the same Envoys before and after the load.
pub(super) fn print(before: &[(&str, Memory)], after: &[(&str, Memory)]) {
    println!("\n{:<26} {:>12} {:>12} {:>12} {:>12}", "memory, MiB", "RSS", "anonymous", "RSS", "anonymous");
    println!("{:<26} {:>12} {:>12} {:>12} {:>12}", "", "at rest", "at rest", "after load", "after load");
    for ((name, before), (_, after)) in before.iter().zip(after) {
        let Memory { resident, anonymous } = before;
        println!("{name:<26} {resident:>12.1} {anonymous:>12.1} {:>12.1} {:>12.1}", after.resident, after.anonymous);
    }
}

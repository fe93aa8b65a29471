//! Processes, namespaces and folders end with their owner: dropped, panicked, or killed with -9.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute, not what they share")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command as HostCommand, Stdio},
    time::{Duration, Instant},
};

use smidge_sandbox::{Command, Pod, PodSpec, Process, Sandbox, remove_leftovers};

const AS_OWNER: &str = "SMIDGE_TEST_OWNER";

/// A sandbox with one process that would run for ever, known by its argument.
fn busy(name: &str) -> (Sandbox, Pod, Process) {
    let sandbox = Sandbox::new(name).unwrap();
    let ips = vec!["10.1.0.2".parse().unwrap()];
    let pod = sandbox.pod(PodSpec { name: "a".into(), namespace: "test".into(), ips, sidecar: None }).unwrap();
    let process = pod.spawn(&Command::new("sleep").args(["infinity"]).arg(mark(sandbox.folder()))).unwrap();
    (sandbox, pod, process)
}

/// `sleep` takes several durations: this one, unique to the sandbox, adds nothing to infinity.
fn mark(folder: &Path) -> String {
    format!("0.{}", folder.to_string_lossy().bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte)))
}

/// How many processes of the machine carry the mark.
fn alive(mark: &str) -> usize {
    let lines = fs::read_dir("/proc").unwrap().flatten();
    lines.filter(|entry| fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains(mark))).count()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn a_dropped_sandbox_leaves_no_process_and_no_folder() {
    let (sandbox, pod, process) = busy("dropped");
    let (folder, mark) = (sandbox.folder().to_path_buf(), mark(sandbox.folder()));
    eventually("sleep runs", || alive(&mark) > 0);
    drop((process, pod, sandbox));
    eventually("sleep is gone", || alive(&mark) == 0);
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_dropped_process_is_killed_and_the_rest_runs_on() {
    let (sandbox, pod, process) = busy("process");
    let mark = mark(sandbox.folder());
    eventually("sleep runs", || alive(&mark) > 0);
    drop(process);
    eventually("sleep is gone", || alive(&mark) == 0);
    assert!(pod.run(&Command::new("true")).await.unwrap().status.success());
}

#[tokio::test]
async fn processes_dropped_while_they_start_are_killed() {
    let (sandbox, pod, process) = busy("starting");
    let mark = mark(sandbox.folder());
    drop(process);
    let sleep = Command::new("sleep").arg("infinity").arg(&mark);
    for pause in (0..40).map(|step| Duration::from_micros(200 * step)) {
        let process = pod.spawn(&sleep).unwrap();
        let waited = tokio::time::timeout(pause, pod.run(&sleep)).await;
        assert!(waited.is_err(), "{waited:?}");
        drop(process);
    }
    eventually("all are gone", || alive(&mark) == 0);
}

#[tokio::test]
async fn a_panic_leaves_nothing() {
    let (told, folder) = std::sync::mpsc::channel();
    let task = tokio::spawn(async move {
        let all = busy("panic");
        told.send(all.0.folder().to_path_buf()).unwrap();
        panic!("on purpose");
    });
    assert!(task.await.is_err());
    let folder = folder.recv().unwrap();
    eventually("sleep is gone", || alive(&mark(&folder)) == 0);
    assert!(!folder.exists());
}

/// Runs only as the child of the next test: makes a sandbox, says where, and waits to be killed.
#[tokio::test]
async fn owner_that_waits_to_be_killed() {
    if std::env::var_os(AS_OWNER).is_none() {
        return;
    }
    let (sandbox, _pod, _process) = busy("killed");
    eventually("sleep runs", || alive(&mark(sandbox.folder())) > 0);
    println!("\nfolder {}", sandbox.folder().display());
    std::future::pending::<()>().await;
}

#[test]
fn an_owner_killed_with_9_leaves_only_a_folder_that_the_next_run_removes() {
    let mut owner = HostCommand::new(std::env::current_exe().unwrap())
        .args(["owner_that_waits_to_be_killed", "--exact", "--nocapture"])
        .env(AS_OWNER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let folder = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("folder ").map(PathBuf::from)).unwrap();
    remove_leftovers();
    assert!(folder.exists(), "the folder of a living owner was removed");
    owner.kill().unwrap();
    owner.wait().unwrap();
    eventually("sleep is gone", || alive(&mark(&folder)) == 0);
    eventually("the folder is gone", || {
        remove_leftovers();
        !folder.exists()
    });
}

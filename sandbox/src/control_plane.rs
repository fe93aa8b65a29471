//! The control plane of pods that have no cluster: it lives in the sandbox too, so that it ends with it, and sees the host's files.

use std::path::Path;

use smidge_injector::PROXY_UID;

use crate::{Command, Error, Pod, PodSpec, Process, ROOT_UID, Sandbox};

impl Sandbox {
    /// Starts `<program> run <folder>`, which will serve Envoys at `socket`. It runs until what comes back is dropped.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn control_plane(&self, program: &Path, folder: &Path, socket: &Path) -> Result<(Pod, Process), Error> {
        let spec = PodSpec { name: "control-plane".into(), namespace: "smidge".into(), ips: Vec::new(), sidecar: None };
        let home = self.pod(spec)?;
        let command = Command::new(self.program(program)?)
            .arg("run")
            .arg(folder)
            .arg("--xds-socket")
            .arg(socket)
            .args(["--xds-group", &PROXY_UID.to_string()])
            .arg("--status")
            .arg(self.folder().join("status.yaml"))
            .uid(ROOT_UID);
        let process = home.spawn(&command)?;
        Ok((home, process))
    }
}

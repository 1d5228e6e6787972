//! The program itself, run as a process of its own.

use std::fs::OpenOptions;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::error::{Error, ErrorKind, Result};

/// How to run it on the demo's configuration.
#[derive(Clone, Debug)]
pub(super) struct Program {
    executable: PathBuf,
    config: PathBuf,
    log: PathBuf,
}

/// A process that is asked to stop must do so within this time.
const STOP_MAX: Duration = Duration::from_secs(60);

fn io(what: &str) -> impl FnOnce(std::io::Error) -> Error {
    let what = what.to_owned();
    move |cause| Error::new(ErrorKind::Io, format!("the demo could not {what}")).caused_by(cause)
}

impl Program {
    /// This very program; what it logs goes to `log`.
    pub(super) fn current(config: &Path, log: &Path) -> Result<Self> {
        Ok(Self {
            executable: std::env::current_exe().map_err(io("find its own program"))?,
            config: config.to_owned(),
            log: log.to_owned(),
        })
    }

    /// How to call it from the current folder.
    pub(super) fn shown(&self) -> String {
        let here = std::env::current_dir().ok();
        let relative = here
            .as_ref()
            .and_then(|here| self.executable.strip_prefix(here).ok());
        relative.unwrap_or(&self.executable).display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(io("open its log"))?;
        let mut command = Command::new(&self.executable);
        command
            .args(arguments)
            .args(["--format", "json", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        Ok(command)
    }

    /// Starts it.
    pub(super) fn start(&self, arguments: &[&str]) -> Result<Process> {
        let child = self
            .command(arguments)?
            .spawn()
            .map_err(io("start banyan"))?;
        Ok(Process {
            child,
            log: self.log.clone(),
        })
    }

    /// Runs it to its end. Exit code 1 says that a check found something: its data tells what.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Json> {
        let output = self
            .command(arguments)?
            .output()
            .map_err(io("run banyan"))?;
        self.answer(arguments, output.status, &output.stdout)
    }

    fn answer(&self, arguments: &[&str], status: ExitStatus, stdout: &[u8]) -> Result<Json> {
        if matches!(status.code(), Some(0 | 1))
            && let Ok(json) = serde_json::from_slice(stdout)
        {
            return Ok(json);
        }
        Err(failed(arguments, status, &self.log))
    }
}

fn failed(arguments: &[&str], status: ExitStatus, log: &Path) -> Error {
    let error = Error::new(
        ErrorKind::Internal,
        format!("banyan {} failed ({status})", arguments.join(" ")),
    );
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last: Vec<&str> = text.lines().rev().take(5).collect();
    let error = last.into_iter().rev().fold(error, Error::hint);
    error.hint(format!("the whole log is {}", log.display()))
}

/// A running process; killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// An error when it has ended by itself.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.child.try_wait().map_err(io("look after banyan"))? {
            None => Ok(()),
            Some(status) => Err(failed(&["sync"], status, &self.log)),
        }
    }

    /// SIGKILL: it can neither notice nor prepare.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill().map_err(io("kill banyan"))?;
        self.child.wait().map_err(io("wait for banyan"))?;
        Ok(())
    }

    /// SIGTERM: it finishes what it is at and tells what it did.
    pub(super) fn stop(mut self) -> Result<Json> {
        // The shell's own `kill` is there on every system; the standard library has only SIGKILL.
        let asked = Command::new("sh")
            .args([
                "-c",
                "kill -TERM \"$1\"",
                "sh",
                &self.child.id().to_string(),
            ])
            .status()
            .map_err(io("ask banyan to stop"))?;
        let deadline = Instant::now() + STOP_MAX;
        let mut stdout = Vec::new();
        let status = loop {
            if let Some(status) = self.child.try_wait().map_err(io("wait for banyan"))? {
                break status;
            }
            if !asked.success() || Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Internal,
                    "banyan sync did not stop when asked",
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_end(&mut stdout)
                .map_err(io("read what banyan tells"))?;
        }
        match serde_json::from_slice(&stdout) {
            Ok(json) if status.success() => Ok(json),
            _ => Err(failed(&["sync"], status, &self.log)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; then there is nobody to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

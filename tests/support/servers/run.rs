//! The folder of a test run. A shell process of its own watches the run and, when it is over, ends
//! the servers and removes the folder: also when the tests panic or are killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// See `servers.sh`.
const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/support/servers/servers.sh"
);

/// A folder that goes with a process.
#[derive(Debug)]
pub(super) struct Run {
    folder: PathBuf,
    /// Nobody waits for it: it outlives this process.
    _sweeper: Child,
}

impl Run {
    /// Of all tests: cargo-nextest starts a process for each test, which are one run together.
    pub(super) fn shared() -> &'static Self {
        static RUN: OnceLock<Run> = OnceLock::new();
        RUN.get_or_init(|| {
            let nextest = std::env::var_os("NEXTEST").is_some();
            Self::of(if nextest {
                std::os::unix::process::parent_id()
            } else {
                std::process::id()
            })
        })
    }

    /// Of this process alone.
    pub(super) fn own() -> &'static Self {
        static RUN: OnceLock<Run> = OnceLock::new();
        RUN.get_or_init(|| Self::of(std::process::id()))
    }

    fn of(owner: u32) -> Self {
        let start = started(owner);
        // A server runs as another user when root runs the tests.
        let base = if is_root() {
            PathBuf::from("/tmp")
        } else {
            std::env::temp_dir().canonicalize().unwrap()
        };
        let folder = base.join(format!("banyan-tests-{owner}-{start}"));
        let sweeper = shell("sweep", &folder)
            .args([owner.to_string(), start])
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while !folder.exists() {
            assert!(begun.elapsed().as_secs() < 30, "no {}", folder.display());
            std::thread::sleep(Duration::from_millis(2));
        }
        Self {
            folder,
            _sweeper: sweeper,
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Does what `make` does once in the whole run, whichever process comes first, and answers what it
    /// answered.
    pub(super) fn once(&self, name: &str, make: impl FnOnce(&Path) -> String) -> String {
        let lock = std::fs::File::create(self.folder.join(format!("{name}.lock"))).unwrap();
        lock.lock().unwrap();
        let done = self.folder.join(format!("{name}.done"));
        if let Ok(answer) = std::fs::read_to_string(&done) {
            return answer;
        }
        let answer = make(&self.folder.join(name));
        std::fs::write(done, &answer).unwrap();
        answer
    }
}

/// When a process was started: a number that tells it from others which have the same id.
pub(super) fn started(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    fields.split(' ').nth(19).unwrap_or("0").to_owned()
}

/// The script, to be run beside the tests and not to be ended with them by a signal to their group.
pub(super) fn shell(verb: &str, folder: &Path) -> Command {
    use std::os::unix::process::CommandExt as _;

    let mut command = Command::new("sh");
    command
        .args([SCRIPT, verb])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    command
}

/// Whether root runs the tests; servers refuse to run as root.
pub(super) fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        let output = Command::new("id").arg("-u").output().unwrap();
        output.stdout.trim_ascii() == b"0"
    })
}

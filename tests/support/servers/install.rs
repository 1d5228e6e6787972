//! The servers' programs: where they are, how a data folder is made, how they are started.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::run::{Run, is_root};
use super::server::{ADMIN_PASSWORD, APP, APP_PASSWORD, Kind, Variant};

impl Kind {
    /// The user that the server runs as when root runs the tests.
    fn user(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
        }
    }

    /// Ends the server at once; as good as a power cut for MariaDB. PostgreSQL would leave shared
    /// memory behind if it were killed.
    pub(super) fn end_signal(self) -> &'static str {
        match self {
            Self::Postgres => "QUIT",
            Self::Mysql => "KILL",
        }
    }

    /// A program of the server's installation; all of them from one place, if they are there.
    fn program(self, name: &str) -> PathBuf {
        let server = match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mariadbd",
        };
        let mut folders: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
            .collect();
        if self == Self::Postgres {
            let versions = std::fs::read_dir("/usr/lib/postgresql")
                .into_iter()
                .flatten();
            let mut bins: Vec<(u32, PathBuf)> = versions
                .filter_map(|entry| {
                    let entry = entry.ok()?;
                    let version = entry.file_name().to_str()?.parse().ok()?;
                    Some((version, entry.path().join("bin")))
                })
                .collect();
            bins.sort();
            folders.extend(bins.into_iter().rev().map(|(_, path)| path));
        }
        let all = folders
            .iter()
            .filter(|folder| folder.join(server).is_file());
        let mut found = all.chain(&folders).map(|folder| folder.join(name));
        found.find(|path| path.is_file()).unwrap_or_else(|| {
            panic!(
                "{name} is not installed; as root, tests/run installs postgresql and mariadb-server"
            )
        })
    }

    /// A program, to be run as the server's user.
    fn as_user(self, program: &str) -> Command {
        let program = self.program(program);
        if !is_root() {
            return Command::new(program);
        }
        let user = self.user();
        let mut command = Command::new("setpriv");
        command
            .args([&format!("--reuid={user}"), &format!("--regid={user}")])
            .args(["--clear-groups", "--"])
            .arg(program);
        command
    }

    /// A folder that the server may write.
    fn make_folder(self, folder: &Path) {
        std::fs::create_dir(folder).unwrap();
        if is_root() {
            succeed(
                Command::new("chown")
                    .arg(format!("{}:", self.user()))
                    .arg(folder),
            );
        }
    }

    /// An empty data folder, made once in a run; others are copies of it.
    fn template(self) -> PathBuf {
        let name = format!("{}-template", self.user());
        let data = Run::shared().once(&name, |folder| {
            self.make_folder(folder);
            let data = folder.join("data");
            match self {
                Self::Postgres => {
                    let password = folder.join("password");
                    std::fs::write(&password, ADMIN_PASSWORD).unwrap();
                    succeed(
                        self.as_user("initdb")
                            .args(["-U", "postgres", "--auth=scram-sha-256", "--no-sync"])
                            .args(["--encoding=UTF8", "--locale=C"])
                            .arg(format!("--pwfile={}", password.display()))
                            .arg("-D")
                            .arg(&data),
                    );
                }
                Self::Mysql => {
                    let mut install = Command::new(self.program("mariadb-install-db"));
                    install
                        .args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"])
                        .arg("--auth-root-authentication-method=normal")
                        .arg("--innodb-log-file-size=16M")
                        .arg(format!("--datadir={}", data.display()));
                    if is_root() {
                        install.arg("--user=mysql");
                    }
                    succeed(&mut install);
                }
            }
            data.to_str().unwrap().to_owned()
        });
        PathBuf::from(data)
    }

    /// Makes a server's folder: its data, and what it needs beside that.
    pub(super) fn set_up(self, folder: &Path, variant: Variant) {
        let template = self.template();
        self.make_folder(folder);
        // With the owners and modes that the server insists on.
        let data = folder.join("data");
        succeed(Command::new("cp").arg("-a").arg(template).arg(&data));
        if variant == Variant::TlsOnly {
            self.make_certificate(folder);
        }
        let owned_file = |path: &Path, text: &str| {
            // Keeps the owner of a file that is there.
            std::fs::write(path, text).unwrap();
            self.give(path);
        };
        match self {
            Self::Postgres => {
                let host = if variant == Variant::TlsOnly {
                    "hostssl"
                } else {
                    "host"
                };
                owned_file(
                    &data.join("pg_hba.conf"),
                    &format!(
                        "host all postgres 127.0.0.1/32 scram-sha-256\n\
                         {host} all all 127.0.0.1/32 scram-sha-256\n"
                    ),
                );
            }
            Self::Mysql => {
                let tls = if variant == Variant::TlsOnly {
                    "SSL"
                } else {
                    "NONE"
                };
                owned_file(
                    &folder.join("init.sql"),
                    &format!(
                        "CREATE OR REPLACE USER 'admin'@'%' IDENTIFIED BY '{ADMIN_PASSWORD}';\n\
                         GRANT ALL PRIVILEGES ON *.* TO 'admin'@'%' WITH GRANT OPTION;\n\
                         CREATE USER IF NOT EXISTS '{APP}'@'%' IDENTIFIED BY '{APP_PASSWORD}' REQUIRE {tls};\n"
                    ),
                );
            }
        }
    }

    fn give(self, path: &Path) {
        if is_root() {
            succeed(
                Command::new("chown")
                    .arg(format!("{}:", self.user()))
                    .arg(path),
            );
        }
    }

    /// `server.key` and `server.crt`, signed by itself.
    fn make_certificate(self, folder: &Path) {
        succeed(
            Command::new("openssl")
                .current_dir(folder)
                .args([
                    "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                ])
                .args(["-keyout", "server.key", "-out", "server.crt"])
                .args(["-subj", "/CN=localhost"])
                .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]),
        );
        succeed(
            Command::new("chmod")
                .arg("600")
                .arg(folder.join("server.key")),
        );
        for name in ["server.key", "server.crt"] {
            self.give(&folder.join(name));
        }
    }

    /// The server's command line.
    pub(super) fn command(self, folder: &Path, port: u16, variant: Variant) -> Command {
        let at = |name: &str| folder.join(name).display().to_string();
        match self {
            Self::Postgres => {
                let mut command = self.as_user("postgres");
                command.args(["-D", &at("data"), "-p", &port.to_string()]);
                let level = if variant == Variant::NoLog {
                    "replica"
                } else {
                    "logical"
                };
                for setting in [
                    "listen_addresses=127.0.0.1",
                    "unix_socket_directories=",
                    "logging_collector=off",
                    "max_replication_slots=60",
                    "max_wal_senders=60",
                    "max_connections=300",
                    "shared_buffers=64MB",
                    "fsync=off",
                    "synchronous_commit=on",
                    &format!("wal_level={level}"),
                ] {
                    command.args(["-c", setting]);
                }
                if variant == Variant::TlsOnly {
                    command.args(["-c", "ssl=on"]);
                    command.args(["-c", &format!("ssl_cert_file={}", at("server.crt"))]);
                    command.args(["-c", &format!("ssl_key_file={}", at("server.key"))]);
                }
                command
            }
            Self::Mysql => {
                // A server that starts removes what it takes for its own left-overs in its folder of
                // temporary files, another server's included, which may crash for it.
                let temporary = at("tmp");
                std::fs::create_dir_all(&temporary).unwrap();
                let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
                std::fs::set_permissions(&temporary, everybody).unwrap();
                let mut command = self.as_user("mariadbd");
                command
                    .args([
                        "--no-defaults",
                        "--bind-address=127.0.0.1",
                        "--skip-name-resolve",
                    ])
                    .args([
                        format!("--datadir={}", at("data")),
                        format!("--tmpdir={}", at("tmp")),
                        format!("--socket={}", at("socket")),
                        format!("--pid-file={}", at("mariadbd.pid")),
                        format!("--log-error={}", at("log.err")),
                        format!("--init-file={}", at("init.sql")),
                        format!("--port={port}"),
                        format!("--server-id={port}"),
                    ])
                    .args(["--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0"])
                    .args([
                        "--innodb-buffer-pool-size=64M",
                        "--innodb-log-file-size=16M",
                    ])
                    .args(["--max-connections=300", "--character-set-server=utf8mb4"]);
                if variant != Variant::NoLog {
                    command
                        .args(["--log-bin=binlog", "--binlog-format=ROW"])
                        .args(["--binlog-row-image=FULL", "--binlog-row-metadata=FULL"]);
                }
                if variant == Variant::TlsOnly {
                    command.arg(format!("--ssl-cert={}", at("server.crt")));
                    command.arg(format!("--ssl-key={}", at("server.key")));
                }
                command
            }
        }
    }
}

/// Runs it, and demands that it succeeds.
fn succeed(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

//! `[stores.NAME]`: where a store is and how its changes are captured.

use std::fmt;
use std::path::{Path, PathBuf};

use super::document::{Section, Text};
use super::secret::{Secret, redact};

/// A store, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Where it is.
    pub url: StoreUrl,
    /// How its changes are captured.
    pub capture: Capture,
}

/// How changes are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Capture {
    /// The store's log where it has one that can be read, else triggers.
    #[default]
    Auto,
    /// The store's log.
    Log,
    /// Triggers that write into a table of Banyan's.
    Trigger,
}

/// Where a store is. `Display` and `Debug` hide the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`
    Sqlite {
        /// The file; a relative path in the configuration starts from the configuration's folder.
        path: PathBuf,
    },
    /// `postgres://…`
    Postgres(ServerUrl),
    /// `mysql://…`
    Mysql(ServerUrl),
}

/// Where a database server is. `Display` and `Debug` hide the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// Port; `None` for the usual one.
    pub port: Option<u16>,
    /// User; `None` for the driver's default.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// Database.
    pub database: String,
    /// What stands behind `?`, in order.
    pub parameters: Vec<(String, String)>,
}

impl StoreUrl {
    /// The kind of store, as people call it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
            Self::Mysql(_) => "MySQL",
        }
    }

    /// The file of a SQLite store.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite { path } => Some(path),
            Self::Postgres(_) | Self::Mysql(_) => None,
        }
    }

    /// Reads a URL. The error says what is wrong with it, without showing a password.
    pub(super) fn parse(url: &str, resolve: impl Fn(&str) -> PathBuf) -> Result<Self, String> {
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err("is no URL".to_owned());
        };
        match scheme {
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() {
                    return Err("names no file".to_owned());
                }
                if path == ":memory:" {
                    return Err(
                        "is a database in memory, which nobody else can see; name a file"
                            .to_owned(),
                    );
                }
                if path.contains('?') {
                    return Err(
                        "has parameters; a sqlite URL is a path and nothing else".to_owned()
                    );
                }
                Ok(Self::Sqlite {
                    path: resolve(path),
                })
            }
            "postgres" | "postgresql" => ServerUrl::parse(rest).map(Self::Postgres),
            "mysql" | "mariadb" => ServerUrl::parse(rest).map(Self::Mysql),
            other if other.contains('@') => Err("is no URL".to_owned()),
            other => Err(format!("has the unknown scheme {other}:")),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(server) => write!(f, "postgres://{server}"),
            Self::Mysql(server) => write!(f, "mysql://{server}"),
        }
    }
}

impl ServerUrl {
    /// Reads what follows `scheme:`.
    fn parse(rest: &str) -> Result<Self, String> {
        let rest = rest.strip_prefix("//").ok_or("wants // after the scheme")?;
        // The last @ ends the user, so that a password may hold any character but ?.
        let (rest, query) = match rest.rsplit_once('?') {
            Some((rest, query)) if !query.contains('@') => (rest, Some(query)),
            _ => (rest, None),
        };
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let (user, password) = match login {
            None => (None, None),
            Some(login) => match login.split_once(':') {
                None => (Some(login), None),
                Some((user, password)) => (Some(user), Some(password)),
            },
        };
        let (address, database) = place.split_once('/').ok_or("names no database")?;
        if database.is_empty() {
            return Err("names no database".to_owned());
        }
        let (host, port) = match address.strip_prefix('[') {
            Some(address) => {
                let (host, port) = address.split_once(']').ok_or("has [ without ]")?;
                (host, port.strip_prefix(':'))
            }
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        if host.is_empty() {
            return Err("names no host".to_owned());
        }
        let port = port
            .map(|port| {
                port.parse()
                    .map_err(|_| "has a port that is no number from 0 to 65535")
            })
            .transpose()?;
        let parameters = query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((percent_decode(name)?, percent_decode(value)?))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self {
            host: percent_decode(host)?,
            port,
            user: user.map(percent_decode).transpose()?,
            password: password.map(percent_decode).transpose()?.map(Secret::new),
            database: percent_decode(database)?,
            parameters,
        })
    }
}

impl fmt::Display for ServerUrl {
    /// Without the parameters: some drivers take secrets there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}")?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, "/{}", self.database)
    }
}

fn percent_decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        match (digit(), digit()) {
            (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
            _ => return Err("has a % that no two hex digits follow; write %25".to_owned()),
        }
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 when decoded".to_owned())
}

/// Reads `[stores.NAME]`.
pub(super) fn read(section: Section<'_>) -> Option<StoreConfig> {
    let url = if section.has("url") {
        section.url("url")
    } else {
        section.required_text("url", "sqlite:PATH, postgres://… or mysql://…")
    };
    let url = url.and_then(|text| read_url(&section, &text));
    let capture = section.choice(
        "capture",
        &[
            ("auto", Capture::Auto),
            ("log", Capture::Log),
            ("trigger", Capture::Trigger),
        ],
    );
    if capture == Some(Capture::Log) && url.as_ref().is_some_and(|u| u.sqlite_path().is_some()) {
        section.report(section.place_of("capture").problem(
            "found \"log\", but SQLite has no log of changes; use \"auto\" or \"trigger\"",
        ));
    }
    section.finish();
    Some(StoreConfig {
        url: url?,
        capture: capture.unwrap_or_default(),
    })
}

/// Reads a URL and reports what is wrong with it.
fn read_url(section: &Section<'_>, text: &Text) -> Option<StoreUrl> {
    match StoreUrl::parse(&text.value, |path| section.document.resolve_path(path)) {
        Ok(url) => Some(url),
        Err(wrong) => {
            section.report(text.place.problem(format!(
                "found {}, which {wrong}; wanted sqlite:PATH, postgres://… or mysql://…",
                redact(&text.template)
            )));
            None
        }
    }
}

/// Likewise for Banyan's own state, which lies in a file.
pub(super) fn read_state_url(section: &Section<'_>, text: &Text) -> Option<StoreUrl> {
    let url = read_url(section, text)?;
    if url.sqlite_path().is_some() {
        return Some(url);
    }
    section.report(text.place.problem(format!(
        "found {}; a state in {} comes with a later version of Banyan, this one keeps it in a file \
         (sqlite:PATH)",
        redact(&text.template),
        url.kind()
    )));
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<StoreUrl, String> {
        StoreUrl::parse(url, |path| Path::new("/etc/shop").join(path))
    }

    #[test]
    fn sqlite_paths_start_from_the_folder() {
        for (url, path) in [
            ("sqlite:a.db", "/etc/shop/a.db"),
            ("sqlite://a.db", "/etc/shop/a.db"),
            ("sqlite:/var/a.db", "/var/a.db"),
            ("sqlite:///var/a.db", "/var/a.db"),
            ("sqlite:../a b@c.db", "/etc/shop/../a b@c.db"),
        ] {
            let parsed = parse(url).unwrap();
            assert_eq!(parsed.sqlite_path(), Some(Path::new(path)), "{url}");
        }
    }

    #[test]
    fn server_urls_are_taken_apart() {
        let StoreUrl::Postgres(server) =
            parse("postgres://app:p%40s:s/w@rd@[::1]:5433/shop?sslmode=require&x").unwrap()
        else {
            panic!("not PostgreSQL");
        };
        assert_eq!(server.host, "::1");
        assert_eq!(server.port, Some(5433));
        assert_eq!(server.user.as_deref(), Some("app"));
        assert_eq!(server.password.as_ref().unwrap().expose(), "p@s:s/w@rd");
        assert_eq!(server.database, "shop");
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            server.parameters,
            [pair("sslmode", "require"), pair("x", "")]
        );
        assert_eq!(server.to_string(), "app:****@[::1]:5433/shop");
    }

    #[test]
    fn neither_display_nor_debug_show_the_password() {
        let url = parse("mysql://app:hunter2@db/shop").unwrap();
        for shown in [url.to_string(), format!("{url:?}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        assert_eq!(url.kind(), "MySQL");
        assert_eq!(url.to_string(), "mysql://app:****@db/shop");
    }

    #[test]
    fn wrong_urls_say_what_is_wrong() {
        for (url, wrong) in [
            ("orders.db", "is no URL"),
            ("sqlite:", "names no file"),
            ("sqlite::memory:", "in memory"),
            ("sqlite:a.db?mode=ro", "has parameters"),
            ("mongodb://h/d", "unknown scheme mongodb:"),
            ("postgres:h/d", "wants //"),
            ("postgres://h", "names no database"),
            ("postgres://h/", "names no database"),
            ("postgres:///d", "names no host"),
            ("postgres://h:x/d", "has a port"),
            ("postgres://[::1/d", "has [ without ]"),
            ("postgres://a:%zz@h/d", "has a %"),
            ("postgres://a:%ff@h/d", "not UTF-8"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(wrong), "{url}: {error}");
        }
    }
}

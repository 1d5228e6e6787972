//! What Banyan itself must remember, outside the stores it moves: where each migration stands, and
//! the decisions of those that have ended.
//!
//! An SQLite file by default (`[state] url`). What keeps rows right lies in the stores themselves,
//! in the same transactions as the rows; losing the state loses no row.

mod audit;
mod failure;
mod probe;
mod record;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions, Row};

use crate::error::{Error, ErrorKind, Result};

pub use audit::{AuditLog, AuditSummary};
pub use probe::probe;
pub use record::{
    KnownColumn, MigrationRecord, PausedTable, ProofDifference, ProofRecord, RefusedRule,
};

use failure::failed;

/// A database of somebody else's is not written to.
async fn refuse_foreign(pool: &SqlitePool, path: &Path) -> Result<()> {
    let tables = sqlx::query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .fetch_all(pool)
        .await
        .map_err(failed(path, "open it"))?
        .iter()
        .map(|row| row.try_get::<String, _>(0))
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(failed(path, "open it"))?;
    if tables.is_empty() || tables.iter().any(|t| t == "migration") {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Config,
        format!(
            "{} is a database of something else (it has the table {}), so the state cannot be \
             kept there",
            path.display(),
            tables[0]
        ),
    )
    .hint("correct [state] url, or leave [state] out"))
}

/// The state store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct State {
    pool: SqlitePool,
    path: PathBuf,
}

impl State {
    /// Opens the state, making it (and its folder) if it is not there.
    pub async fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|e| {
                Error::new(
                    ErrorKind::Io,
                    format!("cannot make the state's folder {}", folder.display()),
                )
                .caused_by(e)
                .hint("[state] url says where it is")
            })?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(Duration::from_secs(10))
            .disable_statement_logging();
        let pool = SqlitePoolOptions::new()
            // A file's connections grow no older. And the pool's own task, which would look after
            // that, counts what is idle by a number that can be below zero for an instant, which it
            // then takes for 2^64 connections: it would never end, nor would the process.
            .idle_timeout(None)
            .max_lifetime(None)
            .max_connections(2)
            .connect_with(options)
            .await
            .map_err(failed(path, "open it"))?;
        refuse_foreign(&pool, path).await?;
        for statement in [
            "PRAGMA journal_mode = WAL",
            "CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, record TEXT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS decision (migration TEXT NOT NULL, at INTEGER NOT NULL, \
             entry TEXT NOT NULL)",
            "CREATE TABLE IF NOT EXISTS wish (migration TEXT PRIMARY KEY, pause TEXT)",
        ] {
            sqlx::query(statement)
                .execute(&pool)
                .await
                .map_err(failed(path, "set up"))?;
        }
        Ok(Self {
            pool,
            path: path.to_owned(),
        })
    }

    /// The folder of the state; locks and compiled plugins lie beside it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path
            .parent()
            .filter(|f| !f.as_os_str().is_empty())
            .unwrap_or(Path::new("."))
    }

    /// What is known of a migration; a planned one when nothing is.
    pub async fn migration(&self, name: &str) -> Result<MigrationRecord> {
        let row = sqlx::query("SELECT record FROM migration WHERE name = ?1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(&self.path, "read a migration"))?;
        let Some(row) = row else {
            return Ok(MigrationRecord::new(name));
        };
        let text: String = row
            .try_get(0)
            .map_err(failed(&self.path, "read a migration"))?;
        serde_json::from_str(&text).map_err(|e| {
            Error::new(
                ErrorKind::Store,
                format!("state: the record of migration {name} is damaged"),
            )
            .caused_by(e)
        })
    }

    /// Writes what is known of a migration.
    pub async fn save(&self, record: &MigrationRecord) -> Result<()> {
        let text = serde_json::to_string(record)
            .map_err(|e| Error::new(ErrorKind::Internal, "encode a record").caused_by(e))?;
        sqlx::query(
            "INSERT INTO migration (name, record) VALUES (?1, ?2) \
             ON CONFLICT (name) DO UPDATE SET record = excluded.record",
        )
        .bind(&record.migration)
        .bind(text)
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(failed(&self.path, "write a migration"))
    }

    /// Asks whoever runs the migration to pause (with a reason), or takes that back.
    pub async fn wish_pause(&self, name: &str, reason: Option<&str>) -> Result<()> {
        sqlx::query(
            "INSERT INTO wish (migration, pause) VALUES (?1, ?2) \
             ON CONFLICT (migration) DO UPDATE SET pause = excluded.pause",
        )
        .bind(name)
        .bind(reason)
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(failed(&self.path, "write a wish"))
    }

    /// Why the migration shall pause, if it shall.
    pub async fn pause_wished(&self, name: &str) -> Result<Option<String>> {
        let row = sqlx::query("SELECT pause FROM wish WHERE migration = ?1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed(&self.path, "read a wish"))?;
        row.map(|row| row.try_get::<Option<String>, _>(0))
            .transpose()
            .map(Option::flatten)
            .map_err(failed(&self.path, "read a wish"))
    }

    /// Keeps the decisions of a migration that ends.
    pub async fn archive(&self, name: &str, entries: &[serde_json::Value]) -> Result<()> {
        let mut tx = self
            .pool
            .begin()
            .await
            .map_err(failed(&self.path, "keep decisions"))?;
        for entry in entries {
            // Once: an end that was interrupted keeps them again.
            sqlx::query(
                "INSERT INTO decision (migration, at, entry) SELECT ?1, ?2, ?3 WHERE NOT EXISTS \
                 (SELECT 1 FROM decision WHERE migration = ?1 AND at = ?2 AND entry = ?3)",
            )
            .bind(name)
            .bind(
                entry
                    .get("at_us")
                    .and_then(serde_json::Value::as_i64)
                    .unwrap_or(0),
            )
            .bind(entry.to_string())
            .execute(&mut *tx)
            .await
            .map_err(failed(&self.path, "keep decisions"))?;
        }
        tx.commit()
            .await
            .map_err(failed(&self.path, "keep decisions"))
    }

    /// The kept decisions, oldest first.
    pub async fn archived(&self, name: &str) -> Result<Vec<serde_json::Value>> {
        let rows = sqlx::query("SELECT entry FROM decision WHERE migration = ?1 ORDER BY at")
            .bind(name)
            .fetch_all(&self.pool)
            .await
            .map_err(failed(&self.path, "read the archive"))?;
        rows.iter()
            .map(|row| {
                let text: String = row
                    .try_get(0)
                    .map_err(failed(&self.path, "read the archive"))?;
                serde_json::from_str(&text).map_err(|e| {
                    Error::new(ErrorKind::Store, "state: an archived decision is damaged")
                        .caused_by(e)
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_named_with_the_place_where_room_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        let state = State::open(&path).await.unwrap();
        let mut connections = Vec::new();
        for _ in 0..2 {
            let mut connection = state.pool.acquire().await.unwrap();
            sqlx::query("PRAGMA max_page_count = 1")
                .execute(&mut *connection)
                .await
                .unwrap();
            connections.push(connection);
        }
        drop(connections);
        let mut record = MigrationRecord::new("shop");
        record.add_error("x".repeat(100_000));
        let error = state.save(&record).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full);
        assert!(error.to_string().contains("database or disk is full"));
        let folder = folder.path().display();
        assert_eq!(error.hints(), [format!("free some space in {folder}")]);
    }

    #[tokio::test]
    async fn decisions_are_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("state.db")).await.unwrap();
        let entries = [serde_json::json!({ "at_us": 1, "id": "t1" })];
        for _ in 0..2 {
            state.archive("shop", &entries).await.unwrap();
        }
        assert_eq!(state.archived("shop").await.unwrap(), entries);
    }
}

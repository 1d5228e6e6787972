//! What keeps the binary log from being a change feed, and what makes it a worse one.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::database::mysql::connect::Access;
use crate::database::mysql::error::{code, mysql};
use crate::database::mysql::log;
use crate::database::{Findings, SyncTable};
use crate::error::{ErrorKind, Result};

use super::capture::Log;
use super::watched::Watched;

/// Below this, a pause of a weekend is too long.
const RETENTION_S_MIN: u64 = 3 * 86_400;

/// The server's settings, by name in lower case.
struct Settings(Vec<(String, String)>);

impl Settings {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.get(name)
            .is_some_and(|v| v.eq_ignore_ascii_case(value))
    }
}

impl Log {
    /// Looks whether changes of these tables can be captured. Changes nothing.
    pub(in crate::database::mysql) async fn look_over(
        &self,
        tables: &[SyncTable],
    ) -> Result<Findings> {
        let mut found = Findings::default();
        let mut conn = self.server.connect(Access::Read).await?;
        let settings = conn
            .query(
                "SHOW GLOBAL VARIABLES WHERE Variable_name LIKE '%log\\_bin%' OR Variable_name \
                 LIKE '%binlog%' OR Variable_name IN ('server_id', 'expire_logs_days', \
                 'log_slave_updates', 'log_replica_updates')",
            )
            .await
            .map_err(mysql("read the server's settings"))?;
        let settings = Settings(settings);
        if !settings.is("log_bin", "ON") {
            found.problem(
                "the server keeps no binary log",
                "set log_bin, binlog_format=ROW and binlog_row_image=FULL in its configuration \
                 and restart it",
            );
            return Ok(found);
        }
        look_at_settings(&settings, &mut found);
        look_at_retention(&settings, &mut found);
        self.look_at_replication(&mut conn, &settings, &mut found)
            .await?;
        self.look_at_filters(&mut conn, &mut found).await?;
        self.look_at_tables(&mut conn, tables, &mut found).await?;
        self.look_at_rights(&mut conn, &mut found).await?;
        Ok(found)
    }

    /// A replica that does not log what it takes over from its source.
    async fn look_at_replication(
        &self,
        conn: &mut Conn,
        settings: &Settings,
        found: &mut Findings,
    ) -> Result<()> {
        let quiet = ["log_slave_updates", "log_replica_updates"];
        if !quiet.iter().any(|name| settings.is(name, "OFF")) {
            return Ok(());
        }
        let sql = if self.server.is_mariadb() {
            "SHOW ALL SLAVES STATUS"
        } else {
            "SHOW REPLICA STATUS"
        };
        let rows: Vec<mysql_async::Row> = match conn.query(sql).await {
            Ok(rows) => rows,
            Err(error) if code(&error).is_some() => {
                found.note(
                    "the server does not log what it takes over as a replica (log_slave_updates \
                     is OFF), and does not say whether it is one: changes that arrive by \
                     replication would not be captured",
                    "name the primary server in the store's url, or set log_slave_updates = ON",
                );
                return Ok(());
            }
            Err(error) => return Err(mysql("see whether the server is a replica")(error)),
        };
        if !rows.is_empty() {
            found.problem(
                "the server is a replica that does not log what it takes over (log_slave_updates \
                 is OFF): those changes are not captured",
                "name the primary server in the store's url, or set log_slave_updates = ON",
            );
        }
        Ok(())
    }

    /// What the server leaves out of its log.
    async fn look_at_filters(&self, conn: &mut Conn, found: &mut Findings) -> Result<()> {
        let filters = match log::filters(&self.server, conn).await {
            Ok(Some(filters)) => filters,
            Ok(None) => return Ok(()),
            // Who may not see them is told so where the rights are looked at.
            Err(error) if error.kind() == ErrorKind::Store => return Ok(()),
            Err(error) => return Err(error),
        };
        let database = self.server.database();
        let names = |list: &str| list.split(',').any(|name| name.trim() == database);
        let (only, never) = filters;
        if !only.is_empty() && !names(&only) || names(&never) {
            found.problem(
                format!("the server leaves database {database} out of its binary log"),
                "take binlog_do_db or binlog_ignore_db out of its configuration and restart it",
            );
        }
        Ok(())
    }

    async fn look_at_tables(
        &self,
        conn: &mut Conn,
        tables: &[SyncTable],
        found: &mut Findings,
    ) -> Result<()> {
        for (i, table) in tables.iter().enumerate() {
            let watched = match Watched::new(i, table, self.server.database()) {
                Ok(watched) => watched,
                Err(error) => {
                    let hint = error.hints().first().cloned().unwrap_or_default();
                    found.problem(error.message(), hint);
                    continue;
                }
            };
            if let Err(error) = self.check_types(std::slice::from_ref(&watched)).await {
                if error.kind() != ErrorKind::Schema {
                    return Err(error);
                }
                let hint = error.hints().first().cloned().unwrap_or_default();
                found.problem(error.message(), hint);
            }
            let engine: Option<String> = conn
                .exec_first(
                    "SELECT ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND \
                     TABLE_NAME = ?",
                    (&watched.database, &watched.name),
                )
                .await
                .map_err(mysql("read the engines of the tables"))?
                .flatten();
            let engine = engine.unwrap_or_default();
            if !engine.eq_ignore_ascii_case("InnoDB") {
                found.note(
                    format!(
                        "table {} is stored by {engine}: what a transaction has changed in it \
                         stays changed when it is rolled back, and is captured on its own",
                        watched.place()
                    ),
                    "ALTER TABLE … ENGINE = InnoDB",
                );
            }
            for key in &table.schema.foreign_keys {
                let acts = |action: &str| {
                    ["CASCADE", "SET NULL", "SET DEFAULT"]
                        .iter()
                        .any(|a| action.eq_ignore_ascii_case(a))
                };
                if acts(&key.on_delete) || acts(&key.on_update) {
                    found.problem(
                        format!(
                            "rows of table {} are changed by its foreign key to {} (ON DELETE {}, \
                             ON UPDATE {}): the server does not log such changes, and they are not \
                             captured",
                            watched.place(),
                            key.parent,
                            key.on_delete,
                            key.on_update
                        ),
                        "let the application delete and update the rows itself, and make the \
                         foreign key RESTRICT for the time of the migration",
                    );
                }
            }
        }
        Ok(())
    }

    /// Whether we may read the log; the sure way is to try.
    async fn look_at_rights(&self, conn: &mut Conn, found: &mut Findings) -> Result<()> {
        let maria = self.server.is_mariadb();
        let (file, offset) = match log::place(&self.server, conn).await {
            Ok(place) => place,
            Err(error) if error.kind() == ErrorKind::Store => {
                found.problem(
                    error.to_string(),
                    if maria {
                        "GRANT BINLOG MONITOR, REPLICATION SLAVE ON *.* TO the user of the store's url"
                    } else {
                        "GRANT REPLICATION CLIENT ON *.* TO the user of the store's url"
                    },
                );
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let Err(error) = self.try_to_read(&file, offset).await {
            if error.kind() != ErrorKind::Store {
                return Err(error);
            }
            let hint = error.hints().last().cloned().unwrap_or_default();
            found.problem(error.to_string(), hint);
        }
        if !maria {
            // What roles grant is not listed there: no reason to refuse the start.
            let may: Option<u8> = conn
                .query_first(
                    "SELECT 1 FROM information_schema.USER_PRIVILEGES \
                     WHERE PRIVILEGE_TYPE IN ('RELOAD', 'FLUSH_TABLES') LIMIT 1",
                )
                .await
                .map_err(mysql("read the privileges"))?;
            if may.is_none() {
                found.note(
                    "the user may have no right to hold commits back for the moment in which the \
                     first copy from here begins",
                    "GRANT RELOAD ON *.* TO the user of the store's url, if banyan sync asks for it",
                );
            }
        }
        Ok(())
    }
}

fn look_at_settings(settings: &Settings, found: &mut Findings) {
    let anew = |set: &str| format!("SET GLOBAL {set}, and let the applications connect anew");
    for (name, wanted, why) in [
        (
            "binlog_format",
            "ROW",
            "changes may be logged as statements, which are not captured",
        ),
        ("binlog_row_image", "FULL", "rows are not logged whole"),
    ] {
        let value = settings.get(name).unwrap_or(wanted);
        if !value.eq_ignore_ascii_case(wanted) {
            found.problem(
                format!("{name} is {value}: {why}"),
                anew(&format!("{name} = '{wanted}'")),
            );
        }
    }
    for (name, why) in [
        (
            "log_bin_compress",
            "what is compressed in the log is not read",
        ),
        (
            "binlog_transaction_compression",
            "what is compressed in the log is not read",
        ),
    ] {
        if settings.is(name, "ON") {
            found.problem(
                format!("{name} is ON: {why}"),
                anew(&format!("{name} = OFF")),
            );
        }
    }
    if settings
        .get("binlog_row_value_options")
        .is_some_and(|v| v.to_ascii_uppercase().contains("PARTIAL_JSON"))
    {
        found.problem(
            "binlog_row_value_options is PARTIAL_JSON: changed JSON is not logged whole",
            anew("binlog_row_value_options = ''"),
        );
    }
    if settings.is("server_id", "0") {
        found.problem(
            "server_id is 0: the server gives its binary log to nobody",
            "SET GLOBAL server_id to a number that no other server has",
        );
    }
    if let Some(value) = settings.get("binlog_row_metadata")
        && !value.eq_ignore_ascii_case("FULL")
    {
        found.note(
            format!(
                "binlog_row_metadata is {value}: columns are told by their place, and a table is \
                 paused when a column is added or dropped; that two columns changed names, or an \
                 enum its labels, while nobody read the log, would not be noticed"
            ),
            "SET GLOBAL binlog_row_metadata = FULL",
        );
    }
}

/// How long the log is kept.
fn look_at_retention(settings: &Settings, found: &mut Findings) {
    let number = |name: &str| settings.get(name).and_then(|v| v.parse::<f64>().ok());
    let seconds = match number("binlog_expire_logs_seconds") {
        Some(seconds) if seconds > 0.0 => seconds,
        _ => number("expire_logs_days").unwrap_or(0.0) * 86_400.0,
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "a few days in seconds are exact"
    )]
    let least = RETENTION_S_MIN as f64;
    if seconds > 0.0 && seconds < least {
        found.note(
            format!(
                "the server keeps its binary log for {:.1} hours only: a migration that stands \
                 still longer must begin anew",
                seconds / 3600.0
            ),
            "SET GLOBAL binlog_expire_logs_seconds to some days, while the migration lasts",
        );
    }
}

//! Making the outbox and the triggers. Every step can be done again, and continues where it was
//! interrupted.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use crate::database::SyncTable;
use crate::database::mysql::error::{code, mysql};
use crate::database::mysql::names::{quote, quote_table};
use crate::error::{Error, ErrorKind, Result};

use super::{GATES, OP_BEGIN, Outbox, trigger};

/// Creating a trigger waits so long for those who use the table, and keeps others waiting behind it.
const LOCK_WAIT: &str = "SET SESSION lock_wait_timeout = 3";

/// Creates the outbox, with an entry to begin with. Answers the position at which it begins.
pub(in crate::database::mysql) async fn install_tables(
    conn: &mut Conn,
    outbox: &Outbox,
) -> Result<u64> {
    let what = || mysql("create the outbox");
    let (entries, noted, layout, gate) = (
        outbox.sql("outbox"),
        outbox.sql("noted"),
        outbox.sql("layout"),
        outbox.sql("gate"),
    );
    for sql in [
        format!(
            "CREATE TABLE IF NOT EXISTS {layout} (id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY \
             KEY, name VARCHAR(255) NOT NULL, columns LONGTEXT NOT NULL) ENGINE = InnoDB \
             DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {noted} (one INT NOT NULL PRIMARY KEY, \
             position BIGINT UNSIGNED NOT NULL, hardened BIGINT UNSIGNED NOT NULL) ENGINE = InnoDB"
        ),
        format!("CREATE TABLE IF NOT EXISTS {gate} (n INT NOT NULL PRIMARY KEY) ENGINE = InnoDB"),
        format!(
            "CREATE TABLE IF NOT EXISTS {entries} (seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT \
             PRIMARY KEY, session BIGINT UNSIGNED NOT NULL, layout INT UNSIGNED NOT NULL, \
             op TINYINT NOT NULL, us BIGINT NOT NULL, was LONGBLOB, now_is LONGBLOB, \
             note TEXT) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        ),
        format!(
            "INSERT INTO {entries} (session, layout, op, us) SELECT 0, 0, {OP_BEGIN}, 0 FROM DUAL \
             WHERE NOT EXISTS (SELECT 1 FROM {entries})"
        ),
        format!("INSERT IGNORE INTO {noted} SELECT 1, MAX(seq), 0 FROM {entries}"),
    ] {
        conn.query_drop(sql).await.map_err(what())?;
    }
    let gates: Vec<String> = (0..GATES).map(|n| format!("({n})")).collect();
    conn.query_drop(format!(
        "INSERT IGNORE INTO {gate} VALUES {}",
        gates.join(", ")
    ))
    .await
    .map_err(what())?;
    // Not the newest entry: others may be written by transactions that are running.
    let begin: Option<u64> = conn
        .query_first(format!("SELECT position FROM {noted}"))
        .await
        .map_err(what())?;
    Ok(begin.unwrap_or(0))
}

/// Captures the changes of these tables from now on: every transaction that commits after this call
/// and changes them is behind the position that is answered, or has been.
pub(in crate::database::mysql) async fn install(
    conn: &mut Conn,
    outbox: &Outbox,
    tables: &[SyncTable],
) -> Result<u64> {
    let begin = install_tables(conn, outbox).await?;
    conn.query_drop(LOCK_WAIT)
        .await
        .map_err(mysql("set up a session"))?;
    let there = triggers(conn, outbox).await?;
    let mut kept = Vec::new();
    for table in tables {
        let name = &table.schema.name;
        let layout = layout(conn, outbox, table).await?;
        let prefix = trigger::table_prefix(outbox, name);
        let old: Vec<&Trigger> = there
            .iter()
            .filter(|t| t.name.starts_with(&prefix))
            .collect();
        let wanted = trigger::EVENTS.map(|event| {
            (
                trigger::name(outbox, name, layout, event.1),
                trigger::create(outbox, table, layout, event),
            )
        });
        let is_done = old.len() == wanted.len()
            && wanted
                .iter()
                .all(|(name, _)| old.iter().any(|t| t.name == *name));
        kept.push(prefix);
        if !is_done {
            replace(conn, name, &old, &wanted).await?;
        }
    }
    for other in &there {
        if !kept.iter().any(|prefix| other.name.starts_with(prefix)) {
            drop_trigger(conn, other).await?;
        }
    }
    Ok(begin)
}

/// Nobody writes the table between the old triggers and the new ones. Should we be killed in between, both
/// are there until the next start, and what is written meanwhile stands in the outbox twice. That may make
/// an ordinary change a conflict, while one that no trigger saw would be lost.
async fn replace(
    conn: &mut Conn,
    table: &str,
    old: &[&Trigger],
    wanted: &[(String, String)],
) -> Result<()> {
    if !old.is_empty() {
        conn.query_drop(format!("LOCK TABLES {} WRITE", quote_table(table)))
            .await
            .map_err(mysql(format!("lock table {table}")))?;
    }
    let done = async {
        for (name, create) in wanted {
            if !old.iter().any(|trigger| trigger.name == *name) {
                conn.query_drop(create)
                    .await
                    .map_err(|e| failed(table, e))?;
            }
        }
        for trigger in old {
            if !wanted.iter().any(|(name, _)| trigger.name == *name) {
                drop_trigger(conn, trigger).await?;
            }
        }
        Ok(())
    }
    .await;
    if !old.is_empty() {
        conn.query_drop("UNLOCK TABLES")
            .await
            .map_err(mysql("unlock a table"))?;
    }
    done
}

fn failed(table: &str, e: mysql_async::Error) -> Error {
    let code = code(&e);
    let error = mysql(format!("create the triggers of table {table}"))(e);
    match (code, error.kind()) {
        (Some(1419), _) => {
            error.hint("an administrator must run: SET GLOBAL log_bin_trust_function_creators = 1")
        }
        (Some(1142 | 1227), _) => error.hint(format!(
            "GRANT TRIGGER ON {} TO the user of the store's url",
            quote_table(table)
        )),
        (_, ErrorKind::Busy) => {
            error.hint("a transaction holds the table; try again when it is done")
        }
        _ => error,
    }
}

/// A trigger of ours.
#[derive(Debug)]
struct Trigger {
    database: String,
    name: String,
}

async fn drop_trigger(conn: &mut Conn, trigger: &Trigger) -> Result<()> {
    conn.query_drop(format!(
        "DROP TRIGGER IF EXISTS {}.{}",
        quote(&trigger.database),
        quote(&trigger.name)
    ))
    .await
    .map_err(mysql("drop a trigger of Banyan's"))
}

async fn triggers(conn: &mut Conn, outbox: &Outbox) -> Result<Vec<Trigger>> {
    let prefix = trigger::prefix(outbox);
    let rows: Vec<(String, String)> = conn
        .exec(
            "SELECT TRIGGER_SCHEMA, TRIGGER_NAME FROM information_schema.TRIGGERS \
             WHERE LEFT(TRIGGER_NAME, CHAR_LENGTH(?)) = ?",
            (&prefix, &prefix),
        )
        .await
        .map_err(mysql("look for Banyan's triggers"))?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(database, name)| Trigger { database, name })
        .collect())
}

/// The number under which the table's captured columns are known.
async fn layout(conn: &mut Conn, outbox: &Outbox, table: &SyncTable) -> Result<u32> {
    let what = || mysql("write down which columns are captured");
    let columns: Vec<(&str, &str)> = table
        .columns
        .iter()
        .map(|&i| &table.schema.columns[i])
        .map(|c| (c.name.as_str(), c.declared_type.as_str()))
        .collect();
    let columns = serde_json::to_string(&(columns, table.others()))
        .map_err(|e| Error::new(ErrorKind::Internal, "encode a list of columns").caused_by(e))?;
    let own = outbox.sql("layout");
    let name = &table.schema.name;
    for _ in 0..2 {
        let known: Option<u32> = conn
            .exec_first(
                format!("SELECT id FROM {own} WHERE name = ? AND columns = ?"),
                (name, &columns),
            )
            .await
            .map_err(what())?;
        if let Some(id) = known {
            return Ok(id);
        }
        conn.exec_drop(
            format!("INSERT INTO {own} (name, columns) VALUES (?, ?)"),
            (name, &columns),
        )
        .await
        .map_err(what())?;
    }
    Err(Error::new(
        ErrorKind::Internal,
        "a list of columns was written down and is not there",
    ))
}

/// Drops the triggers, whatever became of the tables. (The tables of ours go with the others.)
pub(in crate::database::mysql) async fn uninstall(conn: &mut Conn, outbox: &Outbox) -> Result<()> {
    conn.query_drop(LOCK_WAIT)
        .await
        .map_err(mysql("set up a session"))?;
    for trigger in triggers(conn, outbox).await? {
        drop_trigger(conn, &trigger).await?;
    }
    Ok(())
}

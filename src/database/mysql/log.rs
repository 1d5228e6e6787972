//! Where the binary log ends.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row as WireRow};

use crate::error::{Error, ErrorKind, Result};

use super::connect::{Maker, Server};
use super::error::{code, mysql};
use super::position::position;

/// The log's current end.
pub(super) async fn end(server: &Server, conn: &mut Conn) -> Result<u64> {
    let (file, offset) = place(server, conn).await?;
    position(&file, offset)
}

/// The file that is written, and the offset in it.
pub(super) async fn place(server: &Server, conn: &mut Conn) -> Result<(String, u64)> {
    let mut row = status(server, conn).await?.ok_or_else(off)?;
    let file: Option<String> = row.take_opt(0).and_then(std::result::Result::ok);
    let offset: Option<u64> = row.take_opt(1).and_then(std::result::Result::ok);
    file.zip(offset).ok_or_else(off)
}

/// The databases that alone are logged, and those that are not, as lists; empty where nothing is
/// said.
pub(super) async fn filters(server: &Server, conn: &mut Conn) -> Result<Option<(String, String)>> {
    let row = status(server, conn).await?;
    let cell = |row: &WireRow, i| row.get_opt(i).and_then(Result::ok).unwrap_or_default();
    Ok(row.map(|row| (cell(&row, 2), cell(&row, 3))))
}

async fn status(server: &Server, conn: &mut Conn) -> Result<Option<WireRow>> {
    // MySQL has another word for it from 8.2, and only that from 8.4.
    let renamed = server
        .version()
        .is_some_and(|v| v.maker == Maker::Mysql && v.number >= (8, 2));
    let sql = if renamed {
        "SHOW BINARY LOG STATUS"
    } else {
        "SHOW MASTER STATUS"
    };
    conn.query_first(sql).await.map_err(|e| {
        let refused = code(&e) == Some(1227);
        let error = mysql("read the end of the binary log")(e);
        match server.version().map(|v| v.maker) {
            Some(Maker::MariaDb) if refused => error.hint(
                "GRANT BINLOG MONITOR, REPLICATION SLAVE ON *.* TO the user of the store's url",
            ),
            Some(Maker::Mysql) if refused => error.hint(
                "GRANT REPLICATION CLIENT, REPLICATION SLAVE ON *.* TO the user of the store's url",
            ),
            _ => error,
        }
    })
}

/// The server keeps no binary log.
pub(super) fn off() -> Error {
    Error::new(ErrorKind::Store, "the server keeps no binary log").hint(
        "set log_bin, binlog_format=ROW and binlog_row_image=FULL in the server's configuration \
         and restart it, or use capture = \"trigger\"",
    )
}

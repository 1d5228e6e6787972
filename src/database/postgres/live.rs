//! Tests against a real server, for `cargo test -- --ignored`.
//!
//! `BANYAN_TEST_POSTGRES` is `host:port` of a server with `wal_level = logical` that lets the
//! superuser `postgres` in without a password. Each test makes a database of its own and drops it.

use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use crate::config::ServerUrl;
use crate::data::{Change, Column, Generated, LogicalType, Row, TableSchema, Value};
use crate::database::SyncTable;
use crate::database::server::driver::{ChangeStream, LogEvent};
use crate::error::Result;

use super::capture_names::CaptureNames;
use super::stream::{PgStream, StreamRequest};
use super::{capture, slot};

mod aside;
mod liveness;
mod places;
mod speed;
mod types;

/// A database with a migration `m`.
struct Place {
    url: ServerUrl,
    names: CaptureNames,
    client: Client,
}

impl Place {
    async fn new(name: &str) -> Self {
        let database = format!("banyan_live_{name}");
        let names = CaptureNames::new("m", &database);
        let admin = connect(&server("postgres", "postgres")).await;
        if let Ok(old) = try_connect(&server(&database, "postgres")).await {
            capture::uninstall(&old, &names).await.unwrap();
        }
        for sql in [
            format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"),
            format!("CREATE DATABASE {database}"),
        ] {
            admin.batch_execute(&sql).await.unwrap();
        }
        let url = server(&database, "postgres");
        let client = connect(&url).await;
        Self { url, names, client }
    }

    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap();
    }

    async fn schema(&self, name: &str) -> SyncTable {
        let sql = "SELECT a.attname::text, format_type(coalesce(nullif(t.typbasetype, 0), t.oid), \
                   CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END), \
                   a.attgenerated <> '' \
                   FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
                   WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped \
                   ORDER BY attnum";
        let rows = self.client.query(sql, &[&name]).await.unwrap();
        let columns: Vec<Column> = rows
            .iter()
            .map(|row| Column {
                name: row.get(0),
                declared_type: row.get(1),
                logical: LogicalType::Any,
                nullable: true,
                default: None,
                generated: Generated::No,
                collation: None,
            })
            .collect();
        SyncTable {
            columns: (0..columns.len())
                .filter(|&i| !rows[i].get::<_, bool>(2))
                .collect(),
            schema: TableSchema {
                name: name.into(),
                columns,
                key: vec![0],
                unique: vec![],
                foreign_keys: vec![],
                without_rowid: false,
                strict: false,
                encoding: None,
                triggers: vec![],
            },
            key: vec![0],
            filter: None,
        }
    }

    async fn install(&self, tables: &[&str]) -> (Vec<SyncTable>, u64) {
        let mut schemas = Vec::new();
        for table in tables {
            schemas.push(self.schema(table).await);
        }
        let begin = capture::install(&self.client, &self.names, &schemas)
            .await
            .unwrap();
        (schemas, begin)
    }

    fn request(&self, tables: &[SyncTable], after: u64) -> StreamRequest {
        StreamRequest::new(self.url.clone(), self.names.clone(), tables.to_vec(), after)
    }

    async fn stream(&self, tables: &[SyncTable], after: u64) -> PgStream {
        PgStream::open(self.request(tables, after)).await.unwrap()
    }

    /// Reads up to the log's end.
    async fn rest(&self, stream: &mut PgStream) -> Vec<LogEvent> {
        let end = slot::flush_log(&self.client).await.unwrap();
        up_to(stream, end).await.unwrap()
    }

    async fn done(self) {
        capture::uninstall(&self.client, &self.names).await.unwrap();
        let admin = connect(&server("postgres", "postgres")).await;
        let sql = format!("DROP DATABASE {} WITH (FORCE)", self.url.database);
        admin.batch_execute(&sql).await.unwrap();
    }
}

fn server(database: &str, user: &str) -> ServerUrl {
    let place = std::env::var("BANYAN_TEST_POSTGRES").unwrap();
    let (host, port) = place.split_once(':').unwrap();
    ServerUrl {
        host: host.into(),
        port: Some(port.parse().unwrap()),
        user: Some(user.into()),
        password: None,
        database: database.into(),
        parameters: vec![("sslmode".into(), "disable".into())],
    }
}

async fn try_connect(url: &ServerUrl) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::Config::new()
        .host(&url.host)
        .port(url.port.unwrap())
        .user(url.user.as_deref().unwrap())
        .dbname(&url.database)
        .connect(NoTls)
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn connect(url: &ServerUrl) -> Client {
    try_connect(url).await.unwrap()
}

/// Everything up to a position, without bare progress.
async fn up_to(stream: &mut PgStream, end: u64) -> Result<Vec<LogEvent>> {
    let mut events = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(60), stream.next());
        let event = next.await.unwrap()?;
        let at = match &event {
            LogEvent::Commit { end, .. } | LogEvent::Progress { end, .. } => *end,
            LogEvent::Schema { .. } => 0,
        };
        if !matches!(event, LogEvent::Progress { own: 0, .. }) {
            events.push(event);
        }
        if at >= end {
            return Ok(events);
        }
    }
}

fn changes(events: &[LogEvent]) -> Vec<Change> {
    events
        .iter()
        .flat_map(|event| match event {
            LogEvent::Commit { changes, .. } => changes.clone(),
            _ => Vec::new(),
        })
        .collect()
}

fn ints(events: &[LogEvent]) -> Vec<i64> {
    changes(events)
        .iter()
        .map(|change| match change.after.as_ref().unwrap()[0] {
            Value::Int(v) => v,
            ref other => panic!("{other}"),
        })
        .collect()
}

fn text(v: &str) -> Value {
    Value::Text(v.into())
}

fn row(cells: impl IntoIterator<Item = Value>) -> Option<Row> {
    Some(cells.into_iter().collect())
}

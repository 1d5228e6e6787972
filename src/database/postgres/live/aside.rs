//! Whose a transaction is, and snapshots that fit to the log.

use super::*;
use crate::data::Op;
use crate::database::postgres::origin;

async fn mark(client: &Client, name: &str) {
    let sql = "SELECT pg_replication_origin_session_setup($1)";
    client.execute(sql, &[&name]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn own_transactions_are_counted_and_others_carried_on() {
    let place = Place::new("own").await;
    place
        .run("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int)")
        .await;
    let (tables, begin) = place.install(&["t"]).await;
    capture::install_origins(&place.client, &place.names, 2)
        .await
        .unwrap();
    capture::install_origins(&place.client, &place.names, 2)
        .await
        .unwrap();
    let foreign = CaptureNames::new("m2", &place.url.database).origin(0);
    origin::ensure(&place.client, &foreign).await.unwrap();
    let ours = connect(&place.url).await;
    mark(&ours, &place.names.origin(1)).await;
    ours.batch_execute("INSERT INTO t SELECT g, 'ours' FROM generate_series(1, 10) g")
        .await
        .unwrap();
    let theirs = connect(&place.url).await;
    mark(&theirs, &foreign).await;
    theirs
        .batch_execute("INSERT INTO t VALUES (11, 'another migration')")
        .await
        .unwrap();
    ours.batch_execute("UPDATE t SET v = 'x' WHERE id < 3; INSERT INTO other VALUES (1)")
        .await
        .unwrap();
    place.run("DELETE FROM t WHERE id = 1").await;
    let mut stream = place.stream(&tables, begin).await;
    let end = slot::flush_log(&place.client).await.unwrap();
    let events = up_to(&mut stream, end).await.unwrap();
    let own: u64 = events
        .iter()
        .map(|event| match event {
            LogEvent::Progress { own, .. } => *own,
            _ => 0,
        })
        .sum();
    assert_eq!(own, 12);
    let changes = changes(&events);
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert_eq!(
        changes[0].after,
        row([11.into(), "another migration".into()])
    );
    assert_eq!(changes[1].op(), Op::Delete);
    assert_eq!(changes[1].before, row([1.into(), "x".into()]));
    drop((stream, ours, theirs));
    let sql = "SELECT pg_replication_origin_drop($1)";
    tokio::time::sleep(Duration::from_millis(300)).await;
    place.client.execute(sql, &[&foreign]).await.unwrap();
    place.done().await;
}

/// The rows of a snapshot and the changes behind it make the table.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn a_snapshot_fits_to_the_log() {
    let place = Place::new("snapshot").await;
    place.run("CREATE TABLE t (id bigint PRIMARY KEY)").await;
    let (tables, _) = place.install(&["t"]).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut writers = Vec::new();
    for worker in 0..4_i64 {
        let client = connect(&place.url).await;
        let stopped = stopped.clone();
        writers.push(tokio::spawn(async move {
            let mut id = worker;
            while !*stopped.borrow() {
                let sql = "INSERT INTO t VALUES ($1)";
                client.execute(sql, &[&id]).await.unwrap();
                id += 4;
            }
        }));
    }
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let snapshot = slot::export_snapshot(&place.url, &place.names)
            .await
            .unwrap();
        let reader = connect(&place.url).await;
        let sql = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{}'",
            snapshot.name
        );
        reader.batch_execute(&sql).await.unwrap();
        let rows = reader.query("SELECT id FROM t", &[]).await.unwrap();
        let mut all: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert!(!all.is_empty());
        let mut stream = place.stream(&tables, snapshot.position).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        // Whatever is there before the log's end must have come one way or the other.
        let before = place.client.query("SELECT id FROM t", &[]).await.unwrap();
        let end = slot::flush_log(&place.client).await.unwrap();
        all.extend(ints(&up_to(&mut stream, end).await.unwrap()));
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "nothing twice");
        assert!(before.len() > rows.len());
        let mut before = before.iter().map(|row| row.get::<_, i64>(0));
        assert!(
            before.all(|id| all.binary_search(&id).is_ok()),
            "nothing lost"
        );
        drop(snapshot);
    }
    stop.send(true).unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    let sql = "SELECT count(*) FROM pg_replication_slots WHERE temporary";
    tokio::time::sleep(Duration::from_millis(500)).await;
    let left: i64 = place.client.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
    place.done().await;
}

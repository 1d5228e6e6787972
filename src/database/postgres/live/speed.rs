//! How fast the log is read: `cargo test --release -- --ignored --nocapture speed`.

use std::time::Instant;

use super::*;

const TRANSACTIONS: u64 = 300_000;

fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = stat
        .rsplit_once(')')
        .map(|(_, rest)| {
            let fields: Vec<&str> = rest.split_whitespace().collect();
            [11, 12]
                .iter()
                .map(|&i| fields[i].parse::<u64>().unwrap())
                .sum()
        })
        .unwrap_or_default();
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server, and measures"]
async fn speed_of_small_transactions() {
    let place = Place::new("speed").await;
    place
        .run("CREATE TABLE t (id bigint PRIMARY KEY, n int, body text, at timestamptz)")
        .await;
    let (tables, begin) = place.install(&["t"]).await;
    place
        .run(&format!(
            "CREATE PROCEDURE fill() LANGUAGE plpgsql AS $$ BEGIN \
             FOR i IN 1..{TRANSACTIONS} LOOP \
               INSERT INTO t VALUES (i, i % 7, repeat('x', 96), now()); COMMIT; \
             END LOOP; END $$; SET synchronous_commit = off"
        ))
        .await;
    place.run("CALL fill()").await;
    let end = slot::flush_log(&place.client).await.unwrap();
    for round in 0..3 {
        let (began, used) = (Instant::now(), cpu());
        let mut stream = place.stream(&tables, begin).await;
        let mut rows = 0;
        loop {
            let at = match stream.next().await.unwrap() {
                LogEvent::Commit { end, changes } => {
                    rows += changes.len();
                    end
                }
                LogEvent::Progress { end, .. } => end,
                LogEvent::Schema { what, .. } => panic!("{what}"),
            };
            if at >= end {
                break;
            }
        }
        let (took, used) = (began.elapsed(), cpu() - used);
        assert_eq!(rows as u64, TRANSACTIONS);
        let rate = rows as f64 / took.as_secs_f64();
        tracing::info!("round {round}");
        std::io::Write::write_all(
            &mut std::io::stderr(),
            format!("round {round}: {rows} in {took:?}, {rate:.0} rows/s, CPU here {used:?}\n")
                .as_bytes(),
        )
        .unwrap();
    }
    place.done().await;
}

/// Without the server: messages of the log to changes of transactions.
#[test]
#[ignore = "measures"]
fn speed_of_decoding() {
    use crate::database::postgres::assemble::Assembler;
    use crate::database::postgres::pgoutput;
    use crate::database::postgres::relation::Shape;
    use pg_walstream::{
        ColumnData, ColumnInfo, LogicalReplicationMessage as Log, TupleData,
        encode_message_to_bytes,
    };

    let column = |name: &str, declared: &str| Column {
        name: name.into(),
        declared_type: declared.into(),
        logical: LogicalType::Any,
        nullable: true,
        default: None,
        generated: Generated::No,
        collation: None,
    };
    let table = SyncTable {
        schema: TableSchema {
            name: "t".into(),
            columns: vec![
                column("id", "bigint"),
                column("n", "integer"),
                column("body", "text"),
                column("at", "timestamp with time zone"),
            ],
            key: vec![0],
            unique: vec![],
            foreign_keys: vec![],
            without_rowid: false,
            strict: false,
            encoding: None,
            triggers: vec![],
        },
        columns: vec![0, 1, 2, 3],
        key: vec![0],
        filter: None,
    };
    let types = [
        (20, "bigint"),
        (23, "integer"),
        (25, "text"),
        (1184, "timestamp with time zone"),
    ];
    let columns = [("id", 20), ("n", 23), ("body", 25), ("at", 1184)];
    let mut log = Assembler::new(
        CaptureNames::new("m", "d"),
        vec![Shape::new(&table, 7, "public".into(), "t".into())],
        types.map(|(id, name)| ((id, -1), name.to_owned())).into(),
        0,
        usize::MAX,
    );
    let encode = |message: &Log| encode_message_to_bytes(message, 1);
    let relation = encode(&Log::Relation {
        relation_id: 7,
        namespace: "public".into(),
        relation_name: "t".into(),
        replica_identity: b'f',
        columns: columns
            .map(|(name, id)| ColumnInfo::new(0, name.into(), id, -1))
            .into(),
    });
    log.message(pgoutput::read(&relation).unwrap(), 1).unwrap();
    let tuple = || {
        TupleData::new(
            [
                "123456",
                "3",
                &"x".repeat(96),
                "2024-05-06 07:08:09.123456+00",
            ]
            .map(|text| ColumnData::text(text.as_bytes().to_vec()))
            .into(),
        )
    };
    let messages = [
        encode(&Log::Begin {
            final_lsn: 1,
            timestamp: 1,
            xid: 1,
        }),
        encode(&Log::Update {
            relation_id: 7,
            old_tuple: Some(tuple()),
            new_tuple: tuple(),
            key_type: Some('O'),
        }),
        encode(&Log::Commit {
            flags: 0,
            commit_lsn: 1,
            end_lsn: 2,
            timestamp: 1,
        }),
    ];
    let began = Instant::now();
    for _ in 0..TRANSACTIONS {
        for bytes in &messages {
            log.message(pgoutput::read(bytes).unwrap(), bytes.len())
                .unwrap();
        }
        log.out().clear();
    }
    let rate = TRANSACTIONS as f64 / began.elapsed().as_secs_f64();
    std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("{rate:.0} updates with both rows a second\n").as_bytes(),
    )
    .unwrap();
}

//! Every type, with values at its edges; large values; changed tables.

use super::*;
use crate::error::ErrorKind;

const DAY: i64 = 86_400_000_000;

/// Column, type, SQL, value.
#[rustfmt::skip]
fn cells() -> Vec<(&'static str, &'static str, Value)> {
    let decimal = |text: &str| Value::Decimal(text.parse().unwrap());
    let json = |text: &str| Value::Json(text.into());
    vec![
        ("bool", "true", Value::Bool(true)),
        ("smallint", "-32768", Value::Int(-32768)),
        ("integer", "2147483647", Value::Int(2_147_483_647)),
        ("bigint", "-9223372036854775808", Value::Int(i64::MIN)),
        ("oid", "4294967295", Value::Int(4_294_967_295)),
        ("numeric", "'-0.000000000000000000001'", decimal("-0.000000000000000000001")),
        ("numeric(10,2)", "1.5", decimal("1.50")),
        ("numeric", "'NaN'", decimal("NaN")),
        ("numeric", "'-Infinity'", decimal("-Infinity")),
        ("numeric", "repeat('9', 200)::numeric", decimal(&"9".repeat(200))),
        ("real", "0.1", Value::Float(f64::from(0.1_f32))),
        ("real", "'NaN'", Value::Float(f64::NAN)),
        ("real", "1e-45", Value::Float(f64::from(1e-45_f32))),
        ("double precision", "0.1::float8 + 0.2::float8", Value::Float(0.1 + 0.2)),
        ("double precision", "'-Infinity'", Value::Float(f64::NEG_INFINITY)),
        ("double precision", "'-0'", Value::Float(-0.0)),
        ("double precision", "5e-324", Value::Float(5e-324)),
        ("text", "''", text("")),
        ("text", "E'a\\nb\\\\ä\u{1F600}'", text("a\nb\\ä\u{1F600}")),
        ("varchar(5)", "'ab '", text("ab ")),
        ("char(5)", "'ab'", text("ab   ")),
        ("name", "'n'", text("n")),
        ("bytea", "'\\x00ff'", Value::Bytes(vec![0, 255])),
        ("bytea", "''", Value::Bytes(vec![])),
        ("date", "'0001-12-31 BC'", Value::Date(-719_163)),
        ("date", "'5874897-12-31'", Value::Date(2_145_042_905)),
        ("date", "'infinity'", Value::Date(i32::MAX)),
        ("date", "'-infinity'", Value::Date(i32::MIN)),
        ("time", "'24:00:00'", Value::Time(DAY)),
        ("time(3)", "'00:00:00.1235'", Value::Time(124_000)),
        ("timestamp", "'infinity'", Value::Timestamp(i64::MAX)),
        ("timestamp", "'4714-11-24 00:00:00 BC'", Value::Timestamp(-210_866_803_200_000_000)),
        ("timestamp", "'10000-01-01 00:00:00.000001'", Value::Timestamp(253_402_300_800_000_001)),
        ("timestamptz", "'1970-01-01 05:30:00.5+05:30'", Value::TimestampUtc(500_000)),
        ("timestamptz", "'-infinity'", Value::TimestampUtc(i64::MIN)),
        ("uuid", "'00112233-4455-6677-8899-aabbccddeeff'", Value::Uuid([0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238, 255])),
        ("json", "'{\"b\" : 1, \"a\":[ ]}'", json("{\"b\" : 1, \"a\":[ ]}")),
        ("jsonb", "'{\"b\" : 1, \"a\":[ ]}'", json("{\"a\": [], \"b\": 1}")),
        ("integer[]", "'{{1,NULL},{2,3}}'", text("{{1,NULL},{2,3}}")),
        ("text[]", "ARRAY['a,b', NULL, '', 'NULL']", text("{\"a,b\",NULL,\"\",\"NULL\"}")),
        ("interval", "'-1 year 2 days 03:04:05.6'", text("-1 years +2 days 03:04:05.6")),
        ("timetz", "'12:00:00+05:30'", text("12:00:00+05:30")),
        ("money", "'-1234.5'", text("-$1,234.50")),
        ("inet", "'10.0.0.1/8'", text("10.0.0.1/8")),
        ("bit(3)", "B'101'", text("101")),
        ("xml", "'<a/>'", text("<a/>")),
        ("int4range", "'[1,5)'", text("[1,5)")),
        ("tstzrange", "'[2020-01-01 00:00:00+02,)'", text("[\"2019-12-31 22:00:00+00\",)")),
        ("point", "'(0.1,1e300)'", text("(0.1,1e+300)")),
        ("float8[]", "ARRAY[0.1::float8 + 0.2::float8]", text("{0.30000000000000004}")),
        ("bytea[]", "ARRAY['\\x00ff'::bytea]", text("{\"\\\\x00ff\"}")),
        ("mood", "'sad'", text("sad")),
        ("pence", "7.5", decimal("7.50")),
        ("pence2", "7.5", decimal("7.50")),
        ("pair", "ROW(1, 'x y')", text("(1,\"x y\")")),
        ("\"char\"", "'c'", text("c")),
        ("text", "NULL", Value::Null),
    ]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn every_type_at_its_edges() {
    let place = Place::new("types").await;
    place
        .run(
            "ALTER DATABASE banyan_live_types SET DateStyle = 'German, DMY'; \
             ALTER DATABASE banyan_live_types SET TimeZone = 'Asia/Kolkata'; \
             ALTER DATABASE banyan_live_types SET IntervalStyle = 'iso_8601'; \
             ALTER DATABASE banyan_live_types SET bytea_output = 'escape'; \
             ALTER DATABASE banyan_live_types SET extra_float_digits = -5; \
             CREATE TYPE mood AS ENUM ('sad'); CREATE TYPE pair AS (a int, b text); \
             CREATE DOMAIN pence AS numeric(10,2); CREATE DOMAIN pence2 AS pence CHECK (value > 0)",
        )
        .await;
    let cells = cells();
    let columns: Vec<String> = cells
        .iter()
        .enumerate()
        .map(|(i, (declared, ..))| format!("c{i} {declared}"))
        .collect();
    place
        .run(&format!(
            "CREATE TABLE t (id bigint PRIMARY KEY, {})",
            columns.join(", ")
        ))
        .await;
    let mut table = place.schema("t").await;
    for column in &mut table.schema.columns {
        // A domain over a domain, which the test's own question does not resolve.
        if column.declared_type == "pence" {
            column.declared_type = "numeric(10,2)".into();
        }
    }
    let begin = capture::install(&place.client, &place.names, &[table.clone()])
        .await
        .unwrap();
    let values: Vec<&str> = cells.iter().map(|(_, sql, _)| *sql).collect();
    place
        .run(&format!("INSERT INTO t VALUES (1, {})", values.join(", ")))
        .await;
    place.run("UPDATE t SET id = 2; DELETE FROM t").await;
    let mut stream = place.stream(&[table], begin).await;
    let events = place.rest(&mut stream).await;
    assert!(
        events.iter().all(|e| matches!(e, LogEvent::Commit { .. })),
        "no schema change: {events:?}"
    );
    let changes = changes(&events);
    assert_eq!(changes.len(), 4, "{events:?}");
    let inserted = changes[0].after.clone().unwrap();
    for ((declared, sql, wanted), value) in cells.iter().zip(&inserted[1..]) {
        assert_eq!(value, wanted, "{declared} {sql}");
    }
    assert_eq!(changes[1].before.as_ref(), Some(&inserted));
    assert_eq!(changes[1].after, None);
    assert_eq!(changes[2].before, None);
    assert_eq!(changes[2].after, changes[3].before);
    assert_eq!(changes[3].after, None);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let age_us = i64::try_from(now.as_micros()).unwrap() - changes[0].committed_us.unwrap();
    assert!((0..60_000_000).contains(&age_us), "{age_us}");
    drop(stream);
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn large_values_that_stay_are_there() {
    let place = Place::new("toast").await;
    place
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (n * 2) STORED, \
             n int, gone int, body text); ALTER TABLE t DROP gone; \
             ALTER TABLE t ALTER body SET STORAGE EXTERNAL",
        )
        .await;
    let (tables, begin) = place.install(&["t"]).await;
    place
        .run("INSERT INTO t (id, n, body) VALUES (1, 0, repeat('x', 1000000)), (2, 0, NULL)")
        .await;
    place.run("UPDATE t SET n = n + 1").await;
    place.run("DELETE FROM t").await;
    let mut stream = place.stream(&tables, begin).await;
    let body = text(&"x".repeat(1_000_000));
    let events = place.rest(&mut stream).await;
    let changes = changes(&events);
    let big = |n: i64| row([1.into(), Value::Int(n), body.clone()]);
    assert_eq!(changes.len(), 6);
    assert!(changes[2].before == big(0) && changes[2].after == big(1));
    assert!(changes[4].before == big(1) && changes[4].after.is_none());
    // Without the full replica identity nothing is made up.
    place
        .run(
            "INSERT INTO t (id, n, body) VALUES (3, 0, repeat('x', 1000000)); \
             ALTER TABLE t REPLICA IDENTITY DEFAULT",
        )
        .await;
    let wrong =
        crate::database::postgres::publication::verify(&place.client, &place.names, &tables);
    assert!(wrong.await.unwrap()[0].1.contains("replica identity"));
    place.run("UPDATE t SET n = 1").await;
    let end = slot::flush_log(&place.client).await.unwrap();
    let error = up_to(&mut stream, end).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema, "{error:?}");
    assert_eq!(
        stream.next().await.unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    drop(stream);
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn changed_tables_are_noticed_in_order() {
    let place = Place::new("schema").await;
    place
        .run("CREATE TABLE t (id int PRIMARY KEY, n numeric(10,2), note text)")
        .await;
    place.run("CREATE TABLE u (id int PRIMARY KEY)").await;
    let (tables, begin) = place.install(&["t", "u"]).await;
    let mut stream = place.stream(&tables, begin).await;
    for sql in [
        "INSERT INTO t VALUES (1, 1, 'a')",
        "ALTER TABLE t ADD extra int",
        "INSERT INTO t VALUES (2, 1, 'a', 5)",
        "ANALYZE t; CREATE INDEX ON t (n)",
        "INSERT INTO t VALUES (3, 1, 'a', 5)",
        "ALTER TABLE t ALTER n TYPE numeric(12,3)",
        "INSERT INTO t VALUES (4, 1, 'a', 5)",
        "CREATE DOMAIN late AS int CHECK (value > 0); ALTER TABLE t ALTER id TYPE late",
        "INSERT INTO t VALUES (5, 1, 'a', 5)",
        "BEGIN; ALTER TABLE t RENAME note TO remark; INSERT INTO t VALUES (6, 1, 'a', 5); COMMIT",
        "ALTER TABLE t RENAME remark TO note",
        "ALTER TABLE t RENAME TO t2",
        "INSERT INTO t2 VALUES (7, 1, 'a', 5)",
        "INSERT INTO u VALUES (8)",
        "TRUNCATE t2, u",
    ] {
        place.run(sql).await;
    }
    let events = place.rest(&mut stream).await;
    let told: Vec<String> = events
        .iter()
        .map(|event| match event {
            LogEvent::Commit { changes, .. } => {
                let after = changes[0].after.as_ref().unwrap();
                after[0].to_string()
            }
            LogEvent::Schema { table, what } => format!("{table}: {what}"),
            LogEvent::Progress { .. } => panic!(),
        })
        .collect();
    let added = "column extra was added";
    let wider = "column n was numeric(10,2) and is numeric(12,3)";
    assert_eq!(
        told,
        [
            "1".to_owned(),
            format!("0: {added}"),
            "2".to_owned(),
            "3".to_owned(),
            format!("0: {wider}; {added}"),
            "4".to_owned(),
            "5".to_owned(),
            format!(
                "0: {wider}; column remark was added; {added}; column note is gone (dropped or \
                 renamed); the table's changes from here on are passed over, and it must be \
                 compared"
            ),
            format!("0: the table t is now public.t2; {wider}; {added}"),
            "7".to_owned(),
            "8".to_owned(),
            "0: was truncated; the log does not say which rows it held".to_owned(),
            "1: was truncated; the log does not say which rows it held".to_owned(),
        ]
    );
    // Dropped and created anew: the log does not tell, the next beginning does.
    place
        .run("DROP TABLE u; CREATE TABLE u (id int PRIMARY KEY)")
        .await;
    drop(stream);
    let mut stream = place
        .stream(&tables, slot::current_end(&place.client).await.unwrap())
        .await;
    let LogEvent::Schema { table: 1, what } = stream.next().await.unwrap() else {
        panic!("not noticed");
    };
    assert!(what.contains("publication"), "{what}");
    drop(stream);
    place.done().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn partitions_are_their_table() {
    let place = Place::new("partitions").await;
    place
        .run(
            "CREATE SCHEMA s; CREATE TABLE s.p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); \
             CREATE TABLE p1 PARTITION OF s.p FOR VALUES FROM (0) TO (10); \
             CREATE TABLE p2 (v text, id int NOT NULL); \
             ALTER TABLE s.p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20)",
        )
        .await;
    let (tables, begin) = place.install(&["s.p"]).await;
    place.run("INSERT INTO s.p VALUES (1, 'a')").await;
    place.run("UPDATE s.p SET id = 11").await;
    place.run("UPDATE p2 SET v = 'b'").await;
    let mut stream = place.stream(&tables, begin).await;
    let events = place.rest(&mut stream).await;
    let (one, two) = (row([1.into(), "a".into()]), row([11.into(), "a".into()]));
    let seen: Vec<_> = changes(&events)
        .into_iter()
        .map(|change| (change.before, change.after))
        .collect();
    let three = row([11.into(), "b".into()]);
    assert_eq!(
        seen,
        [
            (None, one.clone()),
            (one, None),
            (None, two.clone()),
            (two, three)
        ]
    );
    drop(stream);
    place.done().await;
}

/// The replication driver takes no message above 128 MiB; bytes are twice as long as text, and an
/// update holds two rows.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server"]
async fn a_change_that_is_too_large_is_refused_by_name() {
    let place = Place::new("huge").await;
    place
        .run("CREATE TABLE t (id int PRIMARY KEY, n int, body bytea)")
        .await;
    let (tables, begin) = place.install(&["t"]).await;
    let mut stream = place.stream(&tables, begin).await;
    place
        .run("INSERT INTO t VALUES (1, 0, decode(repeat('00', 40000000), 'hex'))")
        .await;
    let events = place.rest(&mut stream).await;
    let changes = changes(&events);
    let Value::Bytes(body) = &changes[0].after.as_ref().unwrap()[2] else {
        panic!();
    };
    assert_eq!(body.len(), 40_000_000);
    place.run("UPDATE t SET body = body || '\\x01'").await;
    let end = slot::flush_log(&place.client).await.unwrap();
    let error = up_to(&mut stream, end).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value, "{error:?}");
    assert!(error.hints()[0].contains("128 MiB"));
    drop(stream);
    place.done().await;
}

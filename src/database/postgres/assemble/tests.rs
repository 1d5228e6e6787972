use std::sync::Arc;

use pg_walstream::{
    ColumnData, ColumnInfo, LogicalReplicationMessage as Log, TupleData, encode_message_to_bytes,
};

use super::*;
use crate::data::{Column, Generated, LogicalType, Row, TableSchema};
use crate::database::SyncTable;
use crate::database::postgres::pgoutput;

const INT: u32 = 23;
const TEXT: u32 = 25;

fn column(name: &str, declared: &str) -> Column {
    Column {
        name: name.into(),
        declared_type: declared.into(),
        logical: LogicalType::Any,
        nullable: true,
        default: None,
        generated: Generated::No,
        collation: None,
    }
}

/// `id` is the key, `note` is not mapped.
fn table() -> SyncTable {
    SyncTable {
        schema: TableSchema {
            name: "orders".into(),
            columns: vec![
                column("id", "integer"),
                column("note", "text"),
                column("body", "text"),
            ],
            key: vec![0],
            unique: vec![],
            foreign_keys: vec![],
            without_rowid: false,
            strict: false,
            encoding: None,
            triggers: vec![],
        },
        columns: vec![0, 2],
        key: vec![0],
        filter: None,
        as_sent: false,
    }
}

fn assembler(spill_bytes: usize) -> Assembler {
    assembler_of(
        Shape::new(&table(), 7, "public".into(), "orders".into()),
        spill_bytes,
    )
}

fn assembler_of(shape: Shape, spill_bytes: usize) -> Assembler {
    let types = [
        ((INT, -1), "integer".to_owned()),
        ((TEXT, -1), "text".to_owned()),
    ];
    let names = CaptureNames::new("m", "shop");
    Assembler::new(names, vec![shape], types.into(), 100, spill_bytes)
}

fn feed(assembler: &mut Assembler, messages: &[Log]) -> Result<()> {
    for message in messages {
        let bytes = encode_message_to_bytes(message, 1);
        assembler.message(pgoutput::read(&bytes)?, bytes.len())?;
    }
    Ok(())
}

fn events(assembler: &mut Assembler) -> Vec<LogEvent> {
    let drained = assembler.out().drain(..);
    drained
        .map(|(item, _)| match item {
            Item::Event(event) => event,
            Item::Spilled {
                end,
                committed_us,
                spill,
            } => LogEvent::Commit {
                end,
                changes: spill.read(end, Some(committed_us)).unwrap(),
            },
        })
        .collect()
}

fn begin() -> Log {
    Log::Begin {
        final_lsn: 1,
        timestamp: 0,
        xid: 1,
    }
}

fn commit(end_lsn: u64) -> Log {
    Log::Commit {
        flags: 0,
        commit_lsn: end_lsn - 1,
        end_lsn,
        timestamp: 5,
    }
}

fn origin(name: &str) -> Log {
    Log::Origin {
        origin_lsn: 0,
        origin_name: name.into(),
    }
}

fn mark(prefix: &str) -> Log {
    Log::Message {
        flags: 1,
        lsn: 0,
        prefix: prefix.into(),
        content: Vec::new().into(),
    }
}

fn described(columns: &[(&str, u32)]) -> Log {
    let column =
        |&(name, id): &(&str, u32)| ColumnInfo::new(u8::from(name == "id"), name.into(), id, -1);
    Log::Relation {
        relation_id: 7,
        namespace: Arc::from("public"),
        relation_name: Arc::from("orders"),
        replica_identity: b'f',
        columns: columns.iter().map(column).collect(),
    }
}

fn usual() -> Log {
    described(&[("id", INT), ("note", TEXT), ("body", TEXT)])
}

fn tuple(cells: &[&str]) -> TupleData {
    let cell = |&text: &&str| match text {
        "NULL" => ColumnData::null(),
        "UNCHANGED" => ColumnData::unchanged(),
        text => ColumnData::text(text.as_bytes().to_vec()),
    };
    TupleData::new(cells.iter().map(cell).collect())
}

fn insert(cells: &[&str]) -> Log {
    Log::Insert {
        relation_id: 7,
        tuple: tuple(cells),
    }
}

fn update(kind: Option<char>, old: &[&str], new: &[&str]) -> Log {
    Log::Update {
        relation_id: 7,
        old_tuple: kind.map(|_| tuple(old)),
        new_tuple: tuple(new),
        key_type: kind,
    }
}

fn delete(kind: char, old: &[&str]) -> Log {
    Log::Delete {
        relation_id: 7,
        old_tuple: tuple(old),
        key_type: kind,
    }
}

fn row(id: i64, body: &str) -> Row {
    vec![Value::Int(id), body.into()]
}

fn change(seq: u64, before: Option<Row>, after: Option<Row>) -> Change {
    Change {
        table: 0,
        before,
        after,
        seq,
        committed_us: Some(EPOCH_US + 5),
    }
}

fn everything() -> Vec<Log> {
    vec![
        begin(),
        usual(),
        insert(&["1", "x", "a"]),
        update(Some('O'), &["1", "x", "a"], &["1", "y", "UNCHANGED"]),
        update(Some('O'), &["1", "y", "a"], &["2", "y", "b"]),
        delete('O', &["2", "y", "b"]),
        commit(200),
    ]
}

fn everything_read() -> Vec<LogEvent> {
    let changes = vec![
        change(200, None, Some(row(1, "a"))),
        change(200, Some(row(1, "a")), Some(row(1, "a"))),
        change(200, Some(row(1, "a")), None),
        change(200, None, Some(row(2, "b"))),
        change(200, Some(row(2, "b")), None),
    ];
    vec![LogEvent::Commit { end: 200, changes }]
}

#[test]
fn a_transaction_comes_whole() {
    let mut log = assembler(usize::MAX);
    let messages = everything();
    let (last, rest) = messages.split_last().unwrap();
    feed(&mut log, rest).unwrap();
    // A position in the middle of a transaction is none.
    log.keepalive(150);
    assert!(events(&mut log).is_empty());
    feed(&mut log, std::slice::from_ref(last)).unwrap();
    assert_eq!(events(&mut log), everything_read());
    assert_eq!(log.end(), 200);
}

#[test]
fn a_large_transaction_is_the_same_through_a_file() {
    for bytes in [0, 1000] {
        let mut log = assembler(bytes);
        feed(&mut log, &everything()).unwrap();
        assert!(matches!(log.out()[0].0, Item::Spilled { .. }));
        assert_eq!(events(&mut log), everything_read());
    }
}

#[test]
fn what_is_our_own_is_counted_and_nothing_else() {
    let mut log = assembler(usize::MAX);
    let own = CaptureNames::new("m", "shop").mark().to_owned();
    // The first description of a table may come in a transaction of ours.
    let ours = [
        begin(),
        mark(&own),
        usual(),
        insert(&["1", "x", "a"]),
        update(None, &[], &["1", "x", "b"]),
        delete('K', &["1", "NULL", "NULL"]),
        commit(200),
    ];
    feed(&mut log, &ours).unwrap();
    log.keepalive(250);
    let progress = LogEvent::Progress { end: 250, own: 3 };
    assert_eq!(events(&mut log), [progress]);
    let theirs = [
        begin(),
        origin("pg_16390"),
        mark("_banyan_n.0123456789"),
        insert(&["1", "x", "a"]),
        commit(300),
    ];
    feed(&mut log, &theirs).unwrap();
    let changes = vec![change(300, None, Some(row(1, "a")))];
    assert_eq!(events(&mut log), [LogEvent::Commit { end: 300, changes }]);
}

#[test]
fn progress_never_moves_back() {
    let mut log = assembler(usize::MAX);
    log.keepalive(100);
    log.keepalive(90);
    assert!(events(&mut log).is_empty());
    log.keepalive(110);
    feed(&mut log, &[begin(), commit(120)]).unwrap();
    let progress = LogEvent::Progress { end: 120, own: 0 };
    assert_eq!(events(&mut log), [progress]);
}

fn schema(what: &str) -> LogEvent {
    LogEvent::Schema {
        table: 0,
        what: what.into(),
    }
}

#[test]
fn a_changed_table_is_reported_before_its_first_change() {
    let mut log = assembler(usize::MAX);
    feed(&mut log, &[begin(), usual(), commit(110)]).unwrap();
    events(&mut log);
    let wider = described(&[("id", TEXT), ("new", INT), ("body", TEXT), ("note", TEXT)]);
    let cells = ["1", "5", "a", "n"];
    let transaction = [begin(), wider.clone(), insert(&cells), commit(200)];
    feed(&mut log, &transaction).unwrap();
    let changes = vec![change(
        200,
        None,
        Some(vec![Value::Text("1".into()), Value::Text("a".into())]),
    )];
    let what = "column id was integer and is text; column new was added";
    assert_eq!(
        events(&mut log),
        [schema(what), LogEvent::Commit { end: 200, changes }]
    );
    // Said once.
    feed(&mut log, &[begin(), wider, commit(210)]).unwrap();
    assert_eq!(events(&mut log), [LogEvent::Progress { end: 210, own: 0 }]);
    // What no longer has all its columns is passed over, and that is said.
    let narrow = described(&[("id", INT), ("note", TEXT)]);
    let transaction = [begin(), narrow, insert(&["1", "n"]), commit(220)];
    feed(&mut log, &transaction).unwrap();
    let what = "column body is gone (dropped or renamed); the table's changes from here on are \
                passed over, and it must be compared";
    assert_eq!(
        events(&mut log),
        [schema(what), LogEvent::Progress { end: 220, own: 0 }]
    );
}

#[test]
fn truncation_is_told() {
    let mut log = assembler(usize::MAX);
    let truncate = Log::Truncate {
        relation_ids: vec![9, 7],
        flags: 0,
    };
    feed(&mut log, &[begin(), truncate, commit(200)]).unwrap();
    assert_eq!(
        events(&mut log),
        [
            schema("was truncated; the log does not say which rows it held"),
            LogEvent::Progress { end: 200, own: 0 }
        ]
    );
}

#[test]
fn without_the_row_before_nothing_is_made_up() {
    for wrong in [
        update(None, &[], &["1", "x", "UNCHANGED"]),
        update(Some('K'), &["1", "NULL", "NULL"], &["2", "x", "b"]),
        delete('K', &["1", "NULL", "NULL"]),
        insert(&["1", "x", "UNCHANGED"]),
    ] {
        let mut log = assembler(usize::MAX);
        let error = feed(&mut log, &[begin(), usual(), wrong]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema, "{error}");
        assert!(error.hints()[0].contains("REPLICA IDENTITY FULL"));
    }
}

#[test]
fn disorder_is_an_error() {
    for messages in [
        vec![commit(200)],
        vec![begin(), begin()],
        vec![insert(&["1", "x", "a"])],
        vec![begin(), insert(&["1", "x", "a"])],
        vec![begin(), usual(), insert(&["1", "x"])],
        vec![origin("x")],
    ] {
        let error = feed(&mut assembler(usize::MAX), &messages).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{messages:?}");
    }
}

#[test]
fn what_lies_before_a_column_was_added_has_null_there() {
    let narrow = || described(&[("id", INT), ("note", TEXT)]);
    let all = ["id", "note", "body"].map(str::to_owned);
    let read = |seen_at: u64, columns: &[String], description: Log| {
        let mut shape = Shape::new(&table(), 7, "public".into(), "orders".into());
        shape.seen(columns, seen_at);
        let mut log = assembler_of(shape, usize::MAX);
        let messages = [begin(), description, insert(&["1", "x"]), commit(200)];
        let fed = feed(&mut log, &messages);
        (fed.is_ok(), events(&mut log))
    };
    let changes = vec![change(200, None, Some(vec![Value::Int(1), Value::Null]))];
    let whole = (true, vec![LogEvent::Commit { end: 200, changes }]);
    assert_eq!(read(2, &all, narrow()), whole);
    let more = [&all[..], &["later".to_owned()]].concat();
    assert_eq!(read(2, &more, narrow()), whole);
    // Behind the look at the table a column that is not there was dropped.
    let is_told = |(_, events): (bool, Vec<LogEvent>)| matches!(&events[0], LogEvent::Schema { what, .. } if what.contains("body is gone"));
    assert!(is_told(read(1, &all, narrow())));
    // Nor is anything known of a table that was changed before it was looked at.
    assert!(is_told(read(2, &all[..2], narrow())));
    // One that is not the last was renamed.
    let renamed = described(&[("id", INT), ("text", TEXT)]);
    assert!(is_told(read(2, &all, renamed)));
}

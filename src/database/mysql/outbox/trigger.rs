//! The triggers' text.

use crate::database::SyncTable;
use crate::database::mysql::kind::Kind;
use crate::database::mysql::names::{quote, quote_table, split};

use super::{GATE_MS, GATES, OP_SCHEMA, Outbox, cell};

/// What an application does to a row: the event, the letter at the end of the trigger's name, the
/// entry's kind, whether there are cells before and after.
pub(super) const EVENTS: [(&str, char, u8, bool, bool); 3] = [
    ("INSERT", 'i', 1, false, true),
    ("UPDATE", 'u', 2, true, true),
    ("DELETE", 'd', 3, true, false),
];

/// What the names of all triggers of the migration begin with.
pub(super) fn prefix(outbox: &Outbox) -> String {
    format!("_banyan_{}_", outbox.tag())
}

/// What the names of a table's triggers begin with.
pub(super) fn table_prefix(outbox: &Outbox, table: &str) -> String {
    let hash = blake3::hash(table.as_bytes()).to_hex();
    format!("{}{}_", prefix(outbox), &hash[..12])
}

/// A trigger's name, not quoted.
pub(super) fn name(outbox: &Outbox, table: &str, layout: u32, letter: char) -> String {
    format!("{}{layout}{letter}", table_prefix(outbox, table))
}

/// A trigger's name as it is used in SQL: in the table's database.
pub(super) fn place(table: &str, name: &str) -> String {
    match split(table) {
        (Some(database), _) => format!("{}.{}", quote(database), quote(name)),
        (None, _) => quote(name),
    }
}

/// Creates the trigger for one event, which writes entries of a layout.
pub(super) fn create(
    outbox: &Outbox,
    table: &SyncTable,
    layout: u32,
    event: (&str, char, u8, bool, bool),
) -> String {
    let (event, letter, op, has_before, has_after) = event;
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|&i| &table.schema.columns[i])
        .collect();
    let cells = |record: &str| {
        let cells: Vec<String> = columns.iter().map(|c| cell::write(record, c)).collect();
        format!("CONCAT({})", cells.join(", "))
    };
    let mut evaluate = String::new();
    let mut missing = Vec::new();
    for (wanted, variable, record) in [(has_before, "was", "OLD"), (has_after, "now_is", "NEW")] {
        if wanted {
            evaluate.push_str(&format!("SET {variable} = {};\n", cells(record)));
            missing.push(format!("{variable} IS NULL"));
        }
    }
    // The instant is the column's; as text it depends on the session.
    let has_instants = columns
        .iter()
        .any(|c| matches!(Kind::of(c), Kind::Timestamp { .. }));
    if has_instants {
        evaluate = format!(
            "SET zone = @@SESSION.time_zone;\nSET SESSION time_zone = '+00:00';\n{evaluate}\
             SET SESSION time_zone = zone;\n"
        );
    }
    let same = if has_before && has_after {
        "IF failed = 1 OR was <> now_is THEN\n"
    } else {
        "IF TRUE THEN\n"
    };
    format!(
        "CREATE TRIGGER {trigger} AFTER {event} ON {on} FOR EACH ROW\n\
         BEGIN\n\
         DECLARE was, now_is LONGBLOB;\n\
         DECLARE gate INT;\n\
         DECLARE zone VARCHAR(64);\n\
         DECLARE failed INT DEFAULT 0;\n\
         IF {variable} IS NULL THEN\n\
         BEGIN\n\
         DECLARE CONTINUE HANDLER FOR SQLEXCEPTION SET failed = 1;\n\
         {evaluate}\
         END;\n\
         IF {missing} THEN SET failed = 1; END IF;\n\
         {same}\
         SELECT n INTO gate FROM {gates} WHERE n = \
           (SECOND(NOW(6)) * 1000 + MICROSECOND(NOW(6)) DIV 1000) DIV {GATE_MS} MOD {GATES} \
           LOCK IN SHARE MODE;\n\
         INSERT INTO {entries} (session, layout, op, us, was, now_is, note) VALUES \
           (CONNECTION_ID(), {layout}, IF(failed = 1, {OP_SCHEMA}, {op}), \
            TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)), \
            IF(failed = 1, NULL, was), IF(failed = 1, NULL, now_is), \
            IF(failed = 1, 'a change could not be written down: a row is larger than \
            max_allowed_packet, or cannot be read', NULL));\n\
         END IF;\n\
         END IF;\n\
         END",
        trigger = place(
            &table.schema.name,
            &name(outbox, &table.schema.name, layout, letter)
        ),
        on = quote_table(&table.schema.name),
        variable = outbox.variable(),
        missing = missing.join(" OR "),
        gates = outbox.sql("gate"),
        entries = outbox.sql("outbox"),
    )
}

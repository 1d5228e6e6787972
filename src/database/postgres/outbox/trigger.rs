//! The triggers' text.

use crate::database::SyncTable;
use crate::database::postgres::capture_names::{CaptureNames, literal, quoted};
use crate::database::postgres::kind::Kind;

use super::OP_SCHEMA;

/// Settings under which values become text, as in our own sessions.
const SETTINGS: &str = "SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, MDY' \
SET intervalstyle = postgres SET extra_float_digits = 1 SET bytea_output = hex \
SET timezone = 'UTC' SET xmloption = content SET xmlbinary = base64";

/// The name of a table's trigger function, not quoted. (Hashed: table names are as long as names
/// may be.)
pub(super) fn function(table: &str) -> String {
    let hash = blake3::hash(table.as_bytes()).to_hex();
    format!("capture_{}", &hash[..16])
}

/// The names of a table's triggers, not quoted: for rows, and for TRUNCATE. An exclamation mark
/// sorts before what people begin names with, and before the triggers of foreign keys.
pub(super) fn triggers(names: &CaptureNames) -> (String, String) {
    let stem: String = names.schema.chars().take(50).collect();
    (format!("!{stem}"), format!("!{stem}!t"))
}

/// A cell as [`crate::database::postgres::text`] reads it: the type's own output. A cast to text
/// gives the same where it is used, and is faster.
fn cell(record: &str, name: &str, declared: &str) -> String {
    let column = format!("{record}.{}", quoted(name));
    match Kind::of_declared(declared) {
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid | Kind::Numeric | Kind::Uuid => {
            format!("{column}::text")
        }
        Kind::Text if declared.starts_with("character varying") || declared == "text" => {
            format!("{column}::text")
        }
        // Without a value it would be an empty text. (A row of NULLs IS NULL.)
        _ => format!("CASE WHEN {column} IS DISTINCT FROM NULL THEN format('%s', {column}) END"),
    }
}

/// Creates or replaces the function that writes changes of a table down, as entries of a layout.
pub(super) fn create_function(names: &CaptureNames, table: &SyncTable, layout: i32) -> String {
    let cells = |record: &str| {
        let cells: Vec<String> = table
            .columns
            .iter()
            .map(|&i| {
                let column = &table.schema.columns[i];
                cell(record, &column.name, &column.declared_type)
            })
            .collect();
        format!("ARRAY[{}]::text[]", cells.join(", "))
    };
    let money = table
        .columns
        .iter()
        .any(|&i| table.schema.columns[i].declared_type.starts_with("money"));
    let body = format!(
        "DECLARE was text[]; now_is text[]; what smallint := 1; why text;\n\
         BEGIN\n\
         IF TG_OP = 'TRUNCATE' THEN\n\
           what := {OP_SCHEMA}; why := 'was truncated; which rows it held is not known';\n\
         ELSE\n\
           BEGIN\n\
             IF TG_OP <> 'INSERT' THEN was := {}; what := 3; END IF;\n\
             IF TG_OP <> 'DELETE' THEN now_is := {}; END IF;\n\
             IF TG_OP = 'UPDATE' THEN what := 2; END IF;\n\
           EXCEPTION WHEN OTHERS THEN\n\
             what := {OP_SCHEMA}; was := NULL; now_is := NULL;\n\
             why := 'a change could not be written down: ' || SQLERRM;\n\
           END;\n\
           IF what = 2 AND was IS NOT DISTINCT FROM now_is THEN RETURN NULL; END IF;\n\
         END IF;\n\
         INSERT INTO {} (tx, layout, op, us, was, now_is, note) VALUES (\
           (pg_current_xact_id()::text)::bigint, {layout}, what, \
           (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, was, now_is, why);\n\
         RETURN NULL;\n\
         END",
        cells("OLD"),
        cells("NEW"),
        names.table("outbox"),
    );
    format!(
        "CREATE OR REPLACE FUNCTION {}.{}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
         {SETTINGS}{} AS {}",
        quoted(&names.schema),
        quoted(&function(&table.schema.name)),
        if money { " SET lc_monetary = 'C'" } else { "" },
        literal(&body)
    )
}

/// Creates a table's trigger for rows.
pub(super) fn create_row_trigger(names: &CaptureNames, table: &str, relation: &str) -> String {
    let (name, _) = triggers(names);
    format!(
        "CREATE TRIGGER {} AFTER INSERT OR UPDATE OR DELETE ON {relation} FOR EACH ROW {}",
        quoted(&name),
        rest(names, table)
    )
}

/// Creates a table's trigger for TRUNCATE.
pub(super) fn create_truncate_trigger(names: &CaptureNames, table: &str, relation: &str) -> String {
    let (_, name) = triggers(names);
    format!(
        "CREATE TRIGGER {} AFTER TRUNCATE ON {relation} FOR EACH STATEMENT {}",
        quoted(&name),
        rest(names, table)
    )
}

fn rest(names: &CaptureNames, table: &str) -> String {
    format!(
        "WHEN (pg_catalog.current_setting('banyan.apply', true) IS DISTINCT FROM {}) \
         EXECUTE FUNCTION {}.{}()",
        literal(&names.schema),
        quoted(&names.schema),
        quoted(&function(table))
    )
}

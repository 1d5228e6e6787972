//! Which rows a new row would displace: those that hold a value of a unique index that it will hold.
//!
//! `REPLACE` removes them without a word to anybody, so the capture triggers look for them first.
//! Each condition is written so that its own index answers it: with the index's collations, the
//! text of its expressions, and the condition of a partial index.

use rusqlite::Connection;

use crate::data::TableSchema;
use crate::error::Result;

use super::error::sqlite;
use super::names::{list, quote};

/// What displaces rows of a table.
#[derive(Debug, Default)]
pub(super) struct Displaced {
    /// One condition for each unique index and for the rowid, over the table as `t` and a trigger's
    /// `NEW`.
    pub(super) conditions: Vec<String>,
    /// The unique indexes, each as the text of what it makes unique, whatever its name.
    pub(super) uniques: Vec<String>,
}

/// Reads the table's unique indexes.
pub(super) fn displaced(conn: &Connection, table: &TableSchema) -> Result<Displaced> {
    let what = || sqlite(format!("read the unique indexes of table {}", table.name));
    let indexes = conn
        .prepare(&format!("PRAGMA index_list({})", quote(&table.name)))
        .map_err(what())?
        .query_map([], |row| {
            Ok((row.get::<_, String>(1)?, row.get::<_, bool>(2)?))
        })
        .map_err(what())?
        .collect::<rusqlite::Result<Vec<_>>>()
        .map_err(what())?;
    let mut out = Displaced::default();
    if !table.without_rowid
        && let Some(rowid) = ["rowid", "_rowid_", "oid"]
            .into_iter()
            .find(|name| table.column(name).is_none())
    {
        out.conditions.push(format!("t.{rowid} = NEW.{rowid}"));
    }
    for (name, unique) in indexes {
        if !unique {
            continue;
        }
        let definition: Option<String> = conn
            .query_row(
                // The key of a table without rowid has no entry of its own.
                "SELECT max(sql) FROM sqlite_schema WHERE type = 'index' AND name = ?1",
                [&name],
                |row| row.get(0),
            )
            .map_err(what())?;
        let definition = definition.as_deref().map(parts).unwrap_or_default();
        let terms = conn
            .prepare(&format!("PRAGMA index_xinfo({})", quote(&name)))
            .map_err(what())?
            .query_map([], |row| {
                Ok((
                    row.get::<_, Option<String>>(2)?,
                    row.get::<_, Option<String>>(4)?,
                    row.get::<_, bool>(5)?,
                ))
            })
            .map_err(what())?
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(what())?;
        let mut condition = Vec::new();
        let mut unique = Vec::new();
        for (i, (column, collation, is_key)) in terms.into_iter().enumerate() {
            if !is_key {
                continue;
            }
            let collation = quote(collation.as_deref().unwrap_or("BINARY"));
            match (column, definition.terms.get(i)) {
                (Some(c), _) => {
                    let c = quote(&c);
                    unique.push(format!("{c} COLLATE {collation}"));
                    condition.push(format!("t.{c} = (NEW.{c} COLLATE {collation})"));
                }
                (None, Some(expression)) => {
                    let new: Vec<String> = table
                        .columns
                        .iter()
                        .map(|c| format!("NEW.{0} AS {0}", list([c.name.as_str()])))
                        .collect();
                    unique.push(format!("({expression}) COLLATE {collation}"));
                    condition.push(format!(
                        "({expression}) = ((SELECT {expression} FROM (SELECT {})) COLLATE \
                         {collation})",
                        new.join(", ")
                    ));
                }
                (None, None) => {}
            }
        }
        let mut unique = unique.join(", ");
        if let Some(only) = definition.condition {
            unique.push_str(&format!(" WHERE {only}"));
            condition.push(format!("({only})"));
        }
        if !condition.is_empty() {
            out.conditions
                .push(format!("({})", condition.join(" AND ")));
            out.uniques.push(unique);
        }
    }
    out.uniques.sort();
    out.uniques.dedup();
    Ok(out)
}

/// What a `CREATE INDEX` says, as text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Definition {
    /// Without `ASC` and `DESC`.
    terms: Vec<String>,
    condition: Option<String>,
}

/// Splits the definition of an index. It has no mistakes: SQLite has read it.
fn parts(sql: &str) -> Definition {
    let mut out = Definition::default();
    let mut depth = 0_usize;
    let mut term = String::new();
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let token = &rest[..token_len(rest, c)];
        rest = &rest[token.len()..];
        if token.starts_with("--") || token.starts_with("/*") {
            term.push(' ');
            continue;
        }
        match c {
            '(' if depth == 0 => {
                depth = 1;
                term.clear();
                continue;
            }
            '(' => depth += 1,
            ')' if depth == 1 => {
                out.terms.push(without_order(&term));
                break;
            }
            ')' => depth -= 1,
            ',' if depth == 1 => {
                out.terms.push(without_order(&term));
                term.clear();
                continue;
            }
            _ => {}
        }
        term.push_str(token);
    }
    let rest = rest.trim_start();
    if rest
        .get(..5)
        .is_some_and(|w| w.eq_ignore_ascii_case("where"))
    {
        // A comment at its end would swallow what follows.
        out.condition = Some(format!("{}\n", &rest[5..].trim()));
    }
    out
}

/// The length of the quoted text, comment or character that begins with `c`.
fn token_len(rest: &str, c: char) -> usize {
    let until = |end: &str, from: usize| {
        rest[from..]
            .find(end)
            .map_or(rest.len(), |i| from + i + end.len())
    };
    match c {
        // A doubled quote ends one text and begins the next: it makes no difference here.
        '\'' | '"' | '`' => until(&c.to_string(), 1),
        '[' => until("]", 1),
        '-' if rest.starts_with("--") => until("\n", 2),
        '/' if rest.starts_with("/*") => until("*/", 2),
        _ => c.len_utf8(),
    }
}

fn without_order(term: &str) -> String {
    let term = term.trim();
    for order in ["asc", "desc"] {
        let Some(at) = term.len().checked_sub(order.len()) else {
            continue;
        };
        if let (Some(before), Some(last)) = (term.get(..at), term.get(at..))
            && last.eq_ignore_ascii_case(order)
            && before.ends_with(|c: char| c.is_whitespace() || c == ')')
        {
            return before.trim_end().to_owned();
        }
    }
    term.to_owned()
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn definitions_are_split_at_their_own_commas() {
        let d = parts(
            "CREATE UNIQUE INDEX \"a (,\" ON t(lower(\"x,)\" || ',)') /* , */ DESC, [b)],\n \
             coalesce(c, 'it''s,') COLLATE NOCASE asc) WHERE a IN (1, 2) -- only these",
        );
        assert_eq!(
            d.terms,
            [
                "lower(\"x,)\" || ',)')",
                "[b)]",
                "coalesce(c, 'it''s,') COLLATE NOCASE"
            ]
        );
        assert_eq!(d.condition.as_deref(), Some("a IN (1, 2) -- only these\n"));
    }

    #[test]
    fn an_index_without_a_condition() {
        let d = parts("CREATE UNIQUE INDEX i ON t (descr, \"basc\")");
        assert_eq!(d.terms, ["descr", "\"basc\""]);
        assert_eq!(d.condition, None);
    }
}

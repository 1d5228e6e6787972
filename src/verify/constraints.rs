//! What one side's tables demand of their rows and the other side's do not, and sequences that lag behind
//! their tables' rows.
//!
//! Rows may be equal, and the service fail all the same at its first insert. Such a difference is often
//! meant (a service has its own rules), so it is told and makes no verification fail.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::data::{ForeignKey, TableSchema, UniqueKey};
use crate::database::Role;

/// Something that only one side has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemaDifference {
    /// The table, by its name in the target.
    pub table: String,
    /// Which side has it: `source` or `target`.
    pub side: &'static str,
    /// What, as SQL in the names of the target; of a sequence, in words.
    pub what: String,
}

/// A table as it is on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// In the source.
    pub source: &'a TableSchema,
    /// In the target.
    pub target: &'a TableSchema,
    /// The columns that hold the same, by their names.
    pub columns: &'a [(String, String)],
}

impl Pair<'_> {
    /// What the target calls a column of the source's.
    fn in_target<'b>(&'b self, source: &'b str) -> &'b str {
        let mut columns = self.columns.iter();
        let mapped = columns.find(|(name, _)| name == source);
        mapped.map_or(source, |(_, target)| target)
    }
}

/// What differs between the two sides of each table: in order of the tables, the source's first.
///
/// Compared are NOT NULL, unique keys (the primary key is one) and foreign keys; neither names nor
/// the order of columns within a key count. Of an index on expressions or on some rows its columns count.
#[must_use]
pub fn compare_constraints(pairs: &[Pair<'_>]) -> Vec<SchemaDifference> {
    let mut out = Vec::new();
    for pair in pairs {
        let source = demands(pair.source, pairs, Some(pair));
        let target = demands(pair.target, pairs, None);
        let of = |role: Role, what: &String| SchemaDifference {
            table: pair.target.name.clone(),
            side: side(role),
            what: what.clone(),
        };
        out.extend(source.difference(&target).map(|w| of(Role::Source, w)));
        out.extend(target.difference(&source).map(|w| of(Role::Target, w)));
    }
    out
}

/// A sequence whose next value is not above what its column holds already.
#[must_use]
pub fn late_sequence(
    table: &str,
    role: Role,
    column: &str,
    next: i64,
    highest: i64,
) -> Option<SchemaDifference> {
    (next <= highest).then(|| SchemaDifference {
        table: table.to_owned(),
        side: side(role),
        what: format!(
            "the sequence of {column} gives {next} next, and there are rows up to {highest}"
        ),
    })
}

fn side(role: Role) -> &'static str {
    match role {
        Role::Source => "source",
        Role::Target => "target",
    }
}

/// What a table demands, in the target's names; `renamed`: the table is the source's.
fn demands(
    table: &TableSchema,
    pairs: &[Pair<'_>],
    renamed: Option<&Pair<'_>>,
) -> BTreeSet<String> {
    let name = |column: usize| {
        let name = table.columns[column].name.as_str();
        renamed.map_or(name, |pair| pair.in_target(name))
    };
    let mut out = BTreeSet::new();
    for (i, column) in table.columns.iter().enumerate() {
        if !column.nullable && !table.key.contains(&i) {
            out.insert(format!("{} NOT NULL", name(i)));
        }
    }
    if !table.key.is_empty() {
        out.insert(unique(table.key.iter().map(|&i| Some(name(i))), false));
    }
    for UniqueKey {
        columns, partial, ..
    } in &table.unique
    {
        out.insert(unique(columns.iter().map(|c| c.map(name)), *partial));
    }
    for key in &table.foreign_keys {
        out.insert(foreign(key, &name, pairs, renamed.is_some()));
    }
    out
}

fn unique<'a>(columns: impl Iterator<Item = Option<&'a str>>, partial: bool) -> String {
    let mut columns: Vec<&str> = columns.map(|c| c.unwrap_or("an expression")).collect();
    columns.sort_unstable();
    let partial = if partial { " for some rows" } else { "" };
    format!("UNIQUE ({}){partial}", columns.join(", "))
}

fn foreign<'a>(
    key: &ForeignKey,
    name: &impl Fn(usize) -> &'a str,
    pairs: &[Pair<'_>],
    is_source: bool,
) -> String {
    let parent = pairs.iter().find(|pair| match is_source {
        true => pair.source.name == key.parent,
        false => pair.target.name == key.parent,
    });
    let (table, of): (_, Vec<&str>) = match parent {
        Some(pair) if is_source => {
            let columns = key.parent_columns.iter();
            (
                &pair.target.name,
                columns.map(|c| pair.in_target(c)).collect(),
            )
        }
        _ => {
            let columns = key.parent_columns.iter();
            (&key.parent, columns.map(String::as_str).collect())
        }
    };
    let mut columns: Vec<(&str, &str)> = key.columns.iter().map(|&c| name(c)).zip(of).collect();
    columns.sort_unstable();
    let (own, of): (Vec<&str>, Vec<&str>) = columns.into_iter().unzip();
    let mut out = format!(
        "FOREIGN KEY ({}) REFERENCES {table} ({})",
        own.join(", "),
        of.join(", ")
    );
    for (event, action) in [("DELETE", &key.on_delete), ("UPDATE", &key.on_update)] {
        // Which of these two it is makes a difference within a transaction only.
        if !matches!(action.as_str(), "" | "NO ACTION" | "RESTRICT") {
            out.push_str(&format!(" ON {event} {action}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Column, Generated, LogicalType};

    fn table(name: &str, columns: &[(&str, bool)]) -> TableSchema {
        let column = |(name, nullable): &(&str, bool)| Column {
            name: (*name).to_owned(),
            declared_type: "INTEGER".to_owned(),
            logical: LogicalType::Int,
            nullable: *nullable,
            default: None,
            generated: Generated::No,
            collation: None,
        };
        TableSchema {
            name: name.to_owned(),
            columns: columns.iter().map(column).collect(),
            key: vec![0],
            unique: Vec::new(),
            foreign_keys: Vec::new(),
            without_rowid: false,
            strict: false,
            encoding: None,
            triggers: Vec::new(),
        }
    }

    fn refers(columns: &[usize], parent: &str, of: &[&str], on_delete: &str) -> ForeignKey {
        ForeignKey {
            columns: columns.to_vec(),
            parent: parent.to_owned(),
            parent_columns: of.iter().map(|c| (*c).to_owned()).collect(),
            on_delete: on_delete.to_owned(),
            on_update: "NO ACTION".to_owned(),
        }
    }

    fn names(columns: &[(&str, &str)]) -> Vec<(String, String)> {
        let columns = columns.iter();
        columns
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    }

    #[test]
    fn what_is_named_otherwise_is_the_same() {
        let parents = [
            table("users", &[("uid", false)]),
            table("people", &[("id", false)]),
        ];
        let mut source = table("orders", &[("no", false), ("user", false), ("sum", true)]);
        let mut target = table(
            "purchases",
            &[("id", false), ("sum", true), ("person", false)],
        );
        source.foreign_keys = vec![refers(&[1], "users", &["uid"], "RESTRICT")];
        target.foreign_keys = vec![refers(&[2], "people", &["id"], "NO ACTION")];
        let unique = |columns: &[usize]| UniqueKey {
            name: "u".to_owned(),
            columns: columns.iter().map(|c| Some(*c)).collect(),
            partial: false,
        };
        source.unique = vec![unique(&[1, 2])];
        target.unique = vec![unique(&[1, 2])];
        let columns = names(&[("no", "id"), ("user", "person"), ("sum", "sum")]);
        let of_parents = names(&[("uid", "id")]);
        let compare = |source: &TableSchema, target: &TableSchema| {
            let found = compare_constraints(&[
                Pair {
                    source,
                    target,
                    columns: &columns,
                },
                Pair {
                    source: &parents[0],
                    target: &parents[1],
                    columns: &of_parents,
                },
            ]);
            let line = |d: SchemaDifference| format!("{} {}: {}", d.table, d.side, d.what);
            found.into_iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(compare(&source, &target), Vec::<String>::new());
        target.columns[1].nullable = false;
        target.foreign_keys[0].on_delete = "CASCADE".to_owned();
        source.unique[0].partial = true;
        assert_eq!(
            compare(&source, &target),
            [
                "purchases source: FOREIGN KEY (person) REFERENCES people (id)",
                "purchases source: UNIQUE (person, sum) for some rows",
                "purchases target: FOREIGN KEY (person) REFERENCES people (id) ON DELETE CASCADE",
                "purchases target: UNIQUE (person, sum)",
                "purchases target: sum NOT NULL",
            ]
        );
    }

    #[test]
    fn a_sequence_is_late_when_it_gives_what_is_there() {
        let late = |next, highest| late_sequence("t", Role::Target, "id", next, highest).is_some();
        assert!(late(1, 5000) && late(5000, 5000) && !late(5001, 5000));
    }
}

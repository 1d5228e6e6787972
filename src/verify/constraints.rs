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
#[derive(Clone, Debug)]
pub struct Pair<'a> {
    /// In the source.
    pub source: &'a TableSchema,
    /// In the target.
    pub target: &'a TableSchema,
    /// The columns that hold the same, by their names; `None`: a rule makes one row of the other, and
    /// their constraints are not compared.
    pub columns: Option<Vec<(String, String)>>,
}

impl Pair<'_> {
    /// What the target calls a column of the source's that is mapped.
    fn in_target(&self, source: &str) -> Option<&str> {
        let mut columns = self.columns.iter().flatten();
        let mapped = columns.find(|(name, _)| name.eq_ignore_ascii_case(source));
        mapped.map(|(_, target)| target.as_str())
    }

    /// Whether a column of the target is mapped, by its name as spelt there.
    fn of_target(&self, target: &str) -> Option<&str> {
        let mut columns = self.columns.iter().flatten();
        let mapped = columns.find(|(_, name)| name.eq_ignore_ascii_case(target));
        mapped.map(|(_, name)| name.as_str())
    }

    fn mapped(&self, role: Role, column: &str) -> Option<&str> {
        match role {
            Role::Source => self.in_target(column),
            Role::Target => self.of_target(column),
        }
    }

    fn table(&self, role: Role) -> &TableSchema {
        match role {
            Role::Source => self.source,
            Role::Target => self.target,
        }
    }
}

/// What differs between the two sides of each table: in order of the tables, the source's first.
///
/// Compared are NOT NULL, unique keys (the primary key is one) and foreign keys; neither names nor
/// the order of columns within a key count. Of an index on expressions, on some rows or on parts of values
/// its columns count. What refers to columns or tables that are not mapped is left out.
#[must_use]
pub fn compare_constraints(pairs: &[Pair<'_>]) -> Vec<SchemaDifference> {
    let mut out = Vec::new();
    for pair in pairs.iter().filter(|pair| pair.columns.is_some()) {
        let [source, target] = Role::BOTH.map(|role| demands(pair, role, pairs));
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

/// What a side's table demands of mapped columns, in the target's names.
fn demands(pair: &Pair<'_>, role: Role, pairs: &[Pair<'_>]) -> BTreeSet<String> {
    let table = pair.table(role);
    let name = |column: usize| pair.mapped(role, &table.columns[column].name);
    let mut out = BTreeSet::new();
    for (i, column) in table.columns.iter().enumerate() {
        if !column.nullable && !table.key.contains(&i) {
            out.extend(name(i).map(|name| format!("{name} NOT NULL")));
        }
    }
    if !table.key.is_empty() {
        let key: Option<Vec<&str>> = table.key.iter().map(|&i| name(i)).collect();
        out.extend(key.map(|key| unique(key, false)));
    }
    for UniqueKey {
        columns, partial, ..
    } in &table.unique
    {
        let columns = columns
            .iter()
            .map(|c| c.map_or(Some("an expression"), name));
        let columns: Option<Vec<&str>> = columns.collect();
        out.extend(columns.map(|columns| unique(columns, *partial)));
    }
    let keys = table.foreign_keys.iter();
    out.extend(keys.filter_map(|key| foreign(key, &name, role, pairs)));
    out
}

fn unique(mut columns: Vec<&str>, partial: bool) -> String {
    columns.sort_unstable();
    let partial = if partial { " in part" } else { "" };
    format!("UNIQUE ({}){partial}", columns.join(", "))
}

fn foreign<'a>(
    key: &ForeignKey,
    name: &impl Fn(usize) -> Option<&'a str>,
    role: Role,
    pairs: &[Pair<'_>],
) -> Option<String> {
    let is_parent = |pair: &&Pair<'_>| pair.table(role).name.eq_ignore_ascii_case(&key.parent);
    let parent = pairs.iter().find(is_parent)?;
    let of = key.parent_columns.iter().map(|c| parent.mapped(role, c));
    let columns = key.columns.iter().map(|&c| name(c)).zip(of);
    let columns: Option<Vec<(&str, &str)>> = columns.map(|(c, of)| Some((c?, of?))).collect();
    let mut columns = columns?;
    columns.sort_unstable();
    let (own, of): (Vec<&str>, Vec<&str>) = columns.into_iter().unzip();
    let mut out = format!(
        "FOREIGN KEY ({}) REFERENCES {} ({})",
        own.join(", "),
        parent.target.name,
        of.join(", ")
    );
    for (event, action) in [("DELETE", &key.on_delete), ("UPDATE", &key.on_update)] {
        // Which of these two it is makes a difference within a transaction only.
        if !matches!(action.as_str(), "" | "NO ACTION" | "RESTRICT") {
            out.push_str(&format!(" ON {event} {action}"));
        }
    }
    Some(out)
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
                    columns: Some(columns.clone()),
                },
                Pair {
                    source: &parents[0],
                    target: &parents[1],
                    columns: Some(of_parents.clone()),
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
                "purchases source: UNIQUE (person, sum) in part",
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

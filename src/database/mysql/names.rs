//! Names: quoting, and the names of everything Banyan adds.

/// An SQL identifier in backticks.
pub(super) fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A comma-separated list of quoted identifiers.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// What all of Banyan's own tables begin with.
pub(super) const PREFIX: &str = "_banyan_";

/// A table's database, if one is written before it, and its name: `t` or `db.t`.
pub(super) fn split(table: &str) -> (Option<&str>, &str) {
    match table.split_once('.') {
        Some((database, table)) => (Some(database), table),
        None => (None, table),
    }
}

/// A table's name for SQL. Without a database it is one of the connection's.
pub(in crate::database) fn quote_table(table: &str) -> String {
    match split(table) {
        (Some(database), table) => format!("{}.{}", quote(database), quote(table)),
        (None, table) => quote(table),
    }
}

/// The names of one migration's own tables, which lie in the store's database.
#[derive(Clone, Debug)]
pub(in crate::database) struct Names {
    migration: String,
}

impl Names {
    /// For this migration.
    pub(super) fn new(migration: &str) -> Self {
        Self {
            migration: migration.to_owned(),
        }
    }

    /// `_banyan_<migration>$<what>`, unquoted. The dollar keeps migrations `a` and `a_b` apart.
    pub(super) fn object(&self, what: &str) -> String {
        format!("{}{what}", self.prefix())
    }

    /// The same, quoted for SQL.
    pub(super) fn sql(&self, what: &str) -> String {
        quote(&self.object(what))
    }

    /// The migration.
    pub(super) fn migration(&self) -> &str {
        &self.migration
    }

    /// What the names of this migration's tables begin with.
    pub(super) fn prefix(&self) -> String {
        format!("{PREFIX}{}$", self.migration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quote("a`b"), "`a``b`");
        assert_eq!(quote_table("t"), "`t`");
        assert_eq!(quote_table("other.t"), "`other`.`t`");
        assert_eq!(Names::new("m").sql("mark"), "`_banyan_m$mark`");
    }
}

//! Names: quoting, and the names of everything Banyan adds.

/// An SQL identifier in double quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A comma-separated list of quoted identifiers.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote).collect::<Vec<_>>().join(", ")
}

/// What all of Banyan's own objects begin with.
pub(super) const PREFIX: &str = "_banyan_";

/// The names of one migration's objects in a store, unquoted.
#[derive(Clone, Debug)]
pub(super) struct Names {
    migration: String,
}

impl Names {
    pub(super) fn new(migration: &str) -> Self {
        Self {
            migration: migration.to_owned(),
        }
    }

    /// `_banyan_<migration>.<what>`. The dot keeps migrations `a` and `a_b` apart.
    pub(super) fn object(&self, what: &str) -> String {
        format!("{PREFIX}{}.{what}", self.migration)
    }

    /// The same, quoted for SQL.
    pub(super) fn sql(&self, what: &str) -> String {
        quote(&self.object(what))
    }

    /// A trigger's name, unquoted.
    pub(super) fn trigger_object(&self, table: &str, when: &str) -> String {
        format!("{PREFIX}{}.{table}.{when}", self.migration)
    }

    /// The same, quoted for SQL.
    pub(super) fn trigger(&self, table: &str, when: &str) -> String {
        quote(&self.trigger_object(table, when))
    }

    /// The migration.
    pub(super) fn migration(&self) -> &str {
        &self.migration
    }

    /// What the names of this migration's objects begin with.
    pub(super) fn prefix(&self) -> String {
        format!("{PREFIX}{}.", self.migration)
    }
}

//! The kinds of database that Banyan moves, as far as SQL text depends on them.

use std::fmt;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Engine {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sqlite, Self::Postgres, Self::Mysql];

    /// A name, quoted.
    #[must_use]
    pub fn quote(self, name: &str) -> String {
        match self {
            Self::Sqlite | Self::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::Mysql => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// A table's name as users write it, with its schema or database if it has one, quoted.
    #[must_use]
    pub fn quote_table(self, name: &str) -> String {
        match self {
            Self::Sqlite => self.quote(name),
            Self::Postgres => super::postgres::quote_table(name),
            Self::Mysql => super::mysql::quote_table(name),
        }
    }

    /// A text as a literal, under standard settings (PostgreSQL: `standard_conforming_strings` on,
    /// MySQL: backslashes escape).
    #[must_use]
    pub fn literal(self, text: &str) -> String {
        let text = text.replace('\'', "''");
        match self {
            Self::Sqlite | Self::Postgres => format!("'{text}'"),
            Self::Mysql => format!("'{}'", text.replace('\\', "\\\\")),
        }
    }

    /// Whether the engine takes a name of this length as it is.
    #[must_use]
    pub fn name_fits(self, name: &str) -> bool {
        match self {
            Self::Sqlite => true,
            Self::Postgres => name.len() <= 63,
            Self::Mysql => name.chars().count() <= 64,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL",
        })
    }
}

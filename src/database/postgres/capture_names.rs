//! What Banyan's things of one migration are called in one database.
//!
//! Slots belong to the whole cluster: their names carry a hash of database and migration, so that a
//! migration between two databases of one cluster has two.

/// The names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CaptureNames {
    /// The schema of Banyan's own tables, not quoted; also the publication's name.
    pub(super) schema: String,
    /// The replication slot.
    pub(super) slot: String,
    mark: String,
}

impl CaptureNames {
    /// Of a migration in a database.
    pub(super) fn new(migration: &str, database: &str) -> Self {
        let hash = short_hash(&[database, migration]);
        let plain: String = migration
            .chars()
            .map(|c| match c.to_ascii_lowercase() {
                c @ ('a'..='z' | '0'..='9') => c,
                _ => '_',
            })
            .take(63 - "_banyan_".len() - 1 - hash.len())
            .collect();
        Self {
            schema: schema(migration),
            slot: format!("_banyan_{plain}_{hash}"),
            mark: format!("_banyan_{migration}.{hash}"),
        }
    }

    /// The publication, not quoted.
    pub(super) fn publication(&self) -> &str {
        &self.schema
    }

    /// What the messages are marked with that Banyan's transactions begin with. Other migrations are
    /// applications to us: what they write has to be carried on.
    pub(super) fn mark(&self) -> &str {
        &self.mark
    }

    /// The quoted name of one of Banyan's own tables.
    pub(super) fn table(&self, what: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(what))
    }
}

/// The schema of a migration, not quoted. PostgreSQL cuts names after 63 bytes: a longer one ends
/// in a hash instead.
pub(super) fn schema(migration: &str) -> String {
    let whole = format!("_banyan_{migration}");
    if whole.len() <= 63 {
        return whole;
    }
    let hash = short_hash(&[migration]);
    let kept: String = whole.chars().take(62 - hash.len()).collect();
    format!("{kept}_{hash}")
}

/// An identifier in quotation marks.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL literal, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    let plain = text.replace('\'', "''");
    if plain.contains('\\') {
        format!("E'{}'", plain.replace('\\', "\\\\"))
    } else {
        format!("'{plain}'")
    }
}

fn short_hash(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize().to_hex()[..8].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_do_not_clash() {
        let long = "Orders-2".repeat(8)[..63].to_owned();
        for migration in ["orders", "Orders-2", long.as_str()] {
            let names = CaptureNames::new(migration, "shop");
            assert!(names.slot.len() <= 63 && names.schema.len() <= 63);
            assert!(
                names
                    .slot
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            );
            let other = CaptureNames::new(migration, "service");
            assert_ne!(names.slot, other.slot);
            assert_ne!(names.mark(), other.mark());
            assert_eq!(names.schema, other.schema);
        }
        assert_ne!(
            CaptureNames::new("Orders", "shop").slot,
            CaptureNames::new("orders", "shop").slot
        );
        let twin = format!("{}x", &long[..62]);
        assert_ne!(schema(&long), schema(&twin));
        assert_eq!(schema("orders"), "_banyan_orders");
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
    }
}

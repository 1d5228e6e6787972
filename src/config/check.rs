//! `[checks.NAME]`: a query whose answer is known.

use serde_json::Value as Json;

use super::document::Section;

/// A saved check.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckConfig {
    /// One query over all stores.
    pub sql: String,
    /// What it must answer.
    pub expect: Expect,
}

/// What a check's query must answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Expect {
    /// No row.
    Empty,
    /// Exactly one row, whatever is in it.
    OneRow,
    /// One row of one column with this value: text, a number or a truth value.
    Value(Json),
}

impl std::fmt::Display for Expect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::OneRow => f.write_str("one row"),
            Self::Value(value) => write!(f, "{value}"),
        }
    }
}

/// Reads `[checks.NAME]`.
pub(super) fn read(section: Section<'_>) -> Option<CheckConfig> {
    let sql = section.required_text("sql", "a query, such as \"SELECT … FROM monolith.orders\"");
    let wanted = "\"empty\", \"one row\", or the one value that the query answers";
    let expect = match section.scalar("expect", wanted) {
        None if section.has("expect") => None,
        None => Some(Expect::Empty),
        Some(Json::String(text)) if text == "empty" => Some(Expect::Empty),
        Some(Json::String(text)) if text == "one row" => Some(Expect::OneRow),
        Some(value) => Some(Expect::Value(value)),
    };
    section.finish();
    Some(CheckConfig {
        sql: sql?.value,
        expect: expect?,
    })
}

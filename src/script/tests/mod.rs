//! Scripts in use: answers, mistakes, hostility, closure.

mod answers;
mod closed;
mod hostile;
mod loading;
mod mistakes;
mod samples;

use std::sync::Arc;

use serde_json::Value as Json;
use tempfile::TempDir;

use super::{Limits, Script, ScriptSpec};
use crate::data::{LogicalType, Row, Value};
use crate::error::Result;
use crate::rule::{
    Conflict, ConflictKind, Direction, Resolve, RuleColumn, RuleError, RuleTable, Side, Verdict,
};

/// A script in a folder of its own.
struct Written {
    folder: TempDir,
}

impl Written {
    fn new(text: &str) -> Self {
        let written = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        written.write(text);
        written
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join("rule.rhai"), text).unwrap();
    }

    fn spec(&self) -> ScriptSpec {
        ScriptSpec {
            name: "stock".to_owned(),
            path: self.folder.path().join("rule.rhai"),
            blake3: None,
            settings: Json::Null,
            limits: Limits {
                call_ms: 5_000,
                ..Limits::default()
            },
        }
    }

    fn load(&self) -> Result<Arc<Script>> {
        Script::load(self.spec())
    }

    /// A message without the folder's name.
    fn plain(&self, message: impl std::fmt::Display) -> String {
        let folder = format!("{}/", self.folder.path().display());
        message.to_string().replace(&folder, "")
    }
}

fn column(name: &str, logical: LogicalType, nullable: bool) -> RuleColumn {
    RuleColumn {
        name: name.to_owned(),
        declared_type: String::new(),
        logical,
        nullable,
    }
}

fn table() -> RuleTable {
    RuleTable {
        name: "products".to_owned(),
        columns: vec![
            column("id", LogicalType::Int, false),
            column("sku", LogicalType::Text, false),
            column("stock", LogicalType::Int, true),
            column("price", LogicalType::Decimal, true),
            column("sold", LogicalType::UInt, true),
            column("weight", LogicalType::Float, true),
            column("seen", LogicalType::TimestampUtc, true),
        ],
        key: vec![0],
    }
}

fn row(stock: i64, price: &str, sold: u64) -> Row {
    vec![
        Value::Int(1),
        Value::from("a"),
        Value::Int(stock),
        Value::Decimal(price.parse().unwrap()),
        Value::UInt(sold),
        Value::Float(1.5),
        Value::TimestampUtc(0),
    ]
}

fn conflict() -> Conflict {
    Conflict {
        kind: ConflictKind::UpdateOriginDiffers,
        direction: Direction::Forward,
        base: Some(row(10, "1.50", 3)),
        base_known: true,
        source: Side {
            row: Some(row(8, "1.50", 4)),
            committed_us: Some(20),
        },
        target: Side {
            row: Some(row(9, "1.75", 5)),
            committed_us: Some(10),
        },
    }
}

/// What a script with this text answers to the conflict above.
fn ask(text: &str) -> std::result::Result<Verdict, RuleError> {
    ask_about(text, &conflict())
}

fn ask_about(text: &str, conflict: &Conflict) -> std::result::Result<Verdict, RuleError> {
    let written = Written::new(text);
    let script = written.load().unwrap_or_else(|e| panic!("{e}"));
    script
        .resolve(&table(), std::slice::from_ref(conflict))
        .map(|mut answers| answers.remove(0))
        .map_err(|mut e| {
            e.message = written.plain(e.message);
            e
        })
}

/// What the body of a `resolve` answers.
fn body(text: &str) -> std::result::Result<Verdict, RuleError> {
    ask(&format!("fn resolve(conflict) {{\n{text}\n}}"))
}

/// The value of an expression: seen as the reason of a park.
fn value_of(expression: &str) -> String {
    match body(&format!("park(`${{{expression}}}`)")) {
        Ok(Verdict::Park(text)) => text,
        other => panic!("{expression}: {other:?}"),
    }
}

/// The failure of a body.
fn failure_of(text: &str) -> RuleError {
    match body(text) {
        Err(e) => e,
        Ok(verdict) => panic!("{text}: {verdict:?}"),
    }
}

//! Reading case files.

use std::path::Path;

use toml::{Table, Value as Toml};

use crate::data::{Row, Value};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::{
    Conflict, ConflictKind, Direction, RequestHead, RouteDecision, RuleTable, Severity, Side,
    TransformTables, nearest,
};

use super::value;

/// A file of cases.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// Its name, for messages.
    pub name: String,
    /// Settings for the rule; `null` when the file gives none.
    pub settings: serde_json::Value,
    /// The cases, in order.
    pub cases: Vec<Case>,
    /// The table of resolvers and validators.
    pub(super) table: Option<RuleTable>,
    /// The tables of transforms.
    pub(super) tables: Option<TransformTables>,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The line of its `[[case]]`.
    pub line: usize,
    /// What the rule is asked, and what it should answer.
    pub question: Question,
}

/// What becomes of a row: by table number, the columns that are set and their cells.
pub type Became = Vec<(usize, Vec<(usize, Value)>)>;

/// What the rule is asked and should answer.
#[derive(Clone, Debug)]
pub enum Question {
    /// A conflict.
    Resolve(Box<Conflict>, Expect),
    /// Rows of a table (0 is the source) and, for each, what becomes of it: by table number, the
    /// columns and cells; or the text of a failure.
    Transform {
        /// Which way.
        direction: Direction,
        /// The table the rows are of.
        table: usize,
        /// The rows.
        rows: Vec<Row>,
        /// For each row, the rows that come of it.
        expect: std::result::Result<Vec<Became>, String>,
    },
    /// Rows to be validated, and the notes on each.
    Validate {
        /// The rows.
        rows: Vec<Row>,
        /// For each row, its notes.
        expect: std::result::Result<Vec<Vec<ExpectNote>>, String>,
    },
    /// A request and its decision.
    Route(RequestHead, std::result::Result<RouteDecision, String>),
}

/// What a resolver should answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Expect {
    /// The source's row.
    Source,
    /// The target's row.
    Target,
    /// No row.
    Delete,
    /// This row.
    Merged(Row),
    /// Both rows, one of them under a new key.
    KeepBoth,
    /// Park, with this in the reason.
    Park(String),
    /// Fail, with this in the message.
    Fails(String),
}

/// A note that a validator should make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectNote {
    /// How bad.
    pub severity: Severity,
    /// Part of its message.
    pub message: String,
}

impl CaseFile {
    /// Reads a file. Fails with [`ErrorKind::NotFound`] or [`ErrorKind::Io`] when it cannot be
    /// read, and as [`CaseFile::parse`].
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let kind = if e.kind() == std::io::ErrorKind::NotFound {
                ErrorKind::NotFound
            } else {
                ErrorKind::Io
            };
            Error::new(kind, format!("case file {} cannot be read", path.display())).caused_by(e)
        })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// The table of its resolvers and validators.
    #[must_use]
    pub fn table(&self) -> Option<&RuleTable> {
        self.table.as_ref()
    }

    /// The tables of its transforms.
    #[must_use]
    pub fn tables(&self) -> Option<&TransformTables> {
        self.tables.as_ref()
    }

    /// The conflicts of its cases.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        let of = |case: &Case| match &case.question {
            Question::Resolve(conflict, _) => Some(Conflict::clone(conflict)),
            _ => None,
        };
        self.cases.iter().filter_map(of).collect()
    }

    /// The rows of its cases that are of the table of that number: 0 is the source of a transform
    /// or the table of a validator.
    #[must_use]
    pub fn rows(&self, number: usize) -> Vec<Row> {
        let of = |case: &Case| match &case.question {
            Question::Transform { table, rows, .. } if *table == number => rows.clone(),
            Question::Validate { rows, .. } if number == 0 => rows.clone(),
            _ => Vec::new(),
        };
        self.cases.iter().flat_map(of).collect()
    }

    /// The requests of its cases.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestHead> {
        let of = |case: &Case| match &case.question {
            Question::Route(request, _) => Some(request.clone()),
            _ => None,
        };
        self.cases.iter().filter_map(of).collect()
    }

    /// Reads cases from text. Fails with [`ErrorKind::Config`], naming file, line and case.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let config = |message: String| Error::new(ErrorKind::Config, message);
        let root: Table = text.parse().map_err(|e: toml::de::Error| {
            config(format!("{name}: {}", e.to_string().trim_end()))
        })?;
        Reader { text }
            .file(name, &root)
            .map_err(|message| config(format!("{name}: {message}")))
    }
}

struct Reader<'a> {
    text: &'a str,
}

type Read<T> = std::result::Result<T, String>;

impl Reader<'_> {
    fn file(&self, name: &str, root: &Table) -> Read<CaseFile> {
        known(root, &["settings", "table", "source", "target", "case"])?;
        let settings = root
            .get("settings")
            .map(serde_json::to_value)
            .transpose()
            .map_err(|e| format!("settings: {e}"))?
            .unwrap_or_default();
        let table = root
            .get("table")
            .map(|t| rule_table("[table]", t))
            .transpose()?;
        let tables = match (root.get("source"), root.get("target")) {
            (None, None) => None,
            (Some(source), Some(Toml::Array(targets))) => Some(TransformTables {
                source: rule_table("[source]", source)?,
                targets: targets
                    .iter()
                    .map(|t| rule_table("[[target]]", t))
                    .collect::<Read<_>>()?,
            }),
            _ => return Err("a transform's cases need [source] and [[target]]".to_owned()),
        };
        let mut file = CaseFile {
            name: name.to_owned(),
            settings,
            cases: Vec::new(),
            table,
            tables,
        };
        let lines: Vec<usize> = self
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.trim_start().starts_with("[[case]]"))
            .map(|(n, _)| n + 1)
            .collect();
        let cases = match root.get("case") {
            Some(Toml::Array(cases)) if !cases.is_empty() => cases,
            _ => return Err("has no [[case]]".to_owned()),
        };
        for (i, case) in cases.iter().enumerate() {
            let line = lines.get(i).copied().unwrap_or(1);
            let case_name = case
                .get("name")
                .and_then(Toml::as_str)
                .map_or_else(|| format!("case {}", i + 1), str::to_owned);
            let question = case
                .as_table()
                .ok_or_else(|| "is no table".to_owned())
                .and_then(|case| question(&file, case))
                .map_err(|e| format!("line {line}, case {case_name:?}: {e}"))?;
            file.cases.push(Case {
                name: case_name,
                line,
                question,
            });
        }
        Ok(file)
    }
}

fn known(table: &Table, names: &[&str]) -> Read<()> {
    match table.keys().find(|k| !names.contains(&k.as_str())) {
        None => Ok(()),
        Some(unknown) => Err(format!(
            "unknown key {unknown:?}{}; the keys are {}",
            nearest(unknown, names.iter().copied())
                .map_or_else(String::new, |n| format!(" (did you mean {n:?}?)")),
            names.join(", ")
        )),
    }
}

fn rule_table(place: &str, written: &Toml) -> Read<RuleTable> {
    let at = |e: String| format!("{place}: {e}");
    let table = written
        .as_table()
        .ok_or_else(|| at("is no table".to_owned()))?;
    known(table, &["name", "columns", "key"]).map_err(at)?;
    let name = table
        .get("name")
        .and_then(Toml::as_str)
        .ok_or_else(|| at("name is missing".to_owned()))?;
    let columns = table
        .get("columns")
        .and_then(Toml::as_table)
        .ok_or_else(|| at("columns = { name = \"type\", … } is missing".to_owned()))?
        .iter()
        .map(|(name, kind)| match kind.as_str() {
            Some(kind) => value::column(name, kind).map_err(at),
            None => Err(at(format!("{name}: a type is a text, found {kind}"))),
        })
        .collect::<Read<Vec<_>>>()?;
    let mut out = RuleTable {
        name: name.to_owned(),
        columns,
        key: Vec::new(),
    };
    for name in table
        .get("key")
        .and_then(Toml::as_array)
        .into_iter()
        .flatten()
    {
        let column = name.as_str().and_then(|name| out.column(name));
        out.key
            .push(column.ok_or_else(|| at(format!("key names {name}, which is no column")))?);
    }
    Ok(out)
}

fn text<'a>(case: &'a Table, key: &str) -> Read<Option<&'a str>> {
    match case.get(key) {
        None => Ok(None),
        Some(Toml::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("{key} must be a text, found {other}")),
    }
}

fn direction(case: &Table) -> Read<Direction> {
    match text(case, "direction")? {
        None | Some("forward") => Ok(Direction::Forward),
        Some("backward") => Ok(Direction::Backward),
        Some(other) => Err(format!(
            "direction is \"forward\" or \"backward\", found {other:?}"
        )),
    }
}

fn question(file: &CaseFile, case: &Table) -> Read<Question> {
    let expect = case.get("expect").ok_or("expect is missing")?;
    if case.contains_key("request") {
        known(case, &["name", "request", "expect"])?;
        return super::run::route_question(case, expect);
    }
    if !case.contains_key("row") && !case.contains_key("rows") {
        return resolve(file, case, expect);
    }
    if file.tables.is_some() {
        transform(file, case, expect)
    } else {
        validate(file, case, expect)
    }
}

fn fails(expect: &Toml) -> Option<String> {
    let table = expect.as_table().filter(|t| t.len() == 1)?;
    Some(table.get("fails")?.as_str()?.to_owned())
}

fn resolve(file: &CaseFile, case: &Table, expect: &Toml) -> Read<Question> {
    known(
        case,
        &[
            "name",
            "kind",
            "direction",
            "base",
            "source",
            "target",
            "source_committed",
            "target_committed",
            "expect",
        ],
    )?;
    let table = file.table.as_ref().ok_or("the file has no [table]")?;
    let kind = match text(case, "kind")? {
        None => ConflictKind::UpdateOriginDiffers,
        Some(name) => ConflictKind::from_name(name).ok_or_else(|| {
            let names = ConflictKind::ALL.iter().map(|k| k.as_str());
            format!(
                "kind {name:?} is unknown{}",
                nearest(name, names)
                    .map_or_else(String::new, |n| format!(" (did you mean {n:?}?)"))
            )
        })?,
    };
    let base_known = case.get("base").and_then(Toml::as_str) != Some("unknown");
    let row = |key: &str| {
        case.get(key)
            .map(|written| value::row(table, written).map_err(|e| format!("{key}: {e}")))
            .transpose()
    };
    let committed = |key: &str| {
        case.get(key)
            .map(|written| value::committed(written).map_err(|e| format!("{key}: {e}")))
            .transpose()
    };
    let conflict = Conflict {
        kind,
        direction: direction(case)?,
        base: if base_known { row("base")? } else { None },
        base_known,
        source: Side {
            row: row("source")?,
            committed_us: committed("source_committed")?,
        },
        target: Side {
            row: row("target")?,
            committed_us: committed("target_committed")?,
        },
    };
    let part = |key: &str| expect.get(key).and_then(Toml::as_str).map(str::to_owned);
    let expect = match expect.as_str() {
        Some("source") => Expect::Source,
        Some("target") => Expect::Target,
        Some("delete") => Expect::Delete,
        Some("keep-both") => Expect::KeepBoth,
        Some("park") => Expect::Park(String::new()),
        _ => {
            if let Some(text) = fails(expect) {
                Expect::Fails(text)
            } else if let Some(why) = part("park") {
                Expect::Park(why)
            } else if let Some(merged) = expect.get("merged") {
                Expect::Merged(value::row(table, merged).map_err(|e| format!("expect: {e}"))?)
            } else {
                return Err(format!(
                    "expect is \"source\", \"target\", \"delete\", \"park\", \"keep-both\", \
                     {{ merged = {{ … }} }}, {{ park = \"…\" }} or {{ fails = \"…\" }}; found {expect}"
                ));
            }
        }
    };
    Ok(Question::Resolve(Box::new(conflict), expect))
}

/// The rows of a case and, for each, what is written in `expect`.
fn rows<'a>(
    table: &RuleTable,
    case: &'a Table,
    expect: &'a Toml,
) -> Read<(Vec<Row>, Vec<&'a Toml>)> {
    match (case.get("row"), case.get("rows")) {
        (Some(row), None) => Ok((
            vec![value::row(table, row).map_err(|e| format!("row: {e}"))?],
            vec![expect],
        )),
        (None, Some(Toml::Array(rows))) => {
            let rows = rows
                .iter()
                .enumerate()
                .map(|(i, row)| value::row(table, row).map_err(|e| format!("row {}: {e}", i + 1)))
                .collect::<Read<Vec<_>>>()?;
            let expects: Vec<&Toml> = match expect {
                Toml::Array(list) if list.len() == rows.len() => list.iter().collect(),
                _ if fails(expect).is_some() => Vec::new(),
                _ => {
                    return Err(format!(
                        "expect must be a list of {}, one for each row",
                        rows.len()
                    ));
                }
            };
            Ok((rows, expects))
        }
        _ => Err("give row = { … } or rows = [ … ]".to_owned()),
    }
}

fn transform(file: &CaseFile, case: &Table, expect: &Toml) -> Read<Question> {
    known(
        case,
        &["name", "direction", "table", "row", "rows", "expect"],
    )?;
    let tables = file
        .tables
        .as_ref()
        .ok_or("the file has no [source] and [[target]]")?;
    let direction = direction(case)?;
    let number = |name: &str| {
        tables
            .targets
            .iter()
            .position(|t| t.name == name)
            .map(|n| n + 1)
            .ok_or_else(|| format!("{name:?} is no [[target]]"))
    };
    let table = match (direction, text(case, "table")?) {
        (Direction::Forward, None) => 0,
        (Direction::Forward, Some(_)) => {
            return Err("table is for the way back; forward rows are of [source]".to_owned());
        }
        (Direction::Backward, Some(name)) => number(name)?,
        (Direction::Backward, None) if tables.targets.len() == 1 => 1,
        (Direction::Backward, None) => {
            return Err("table must say which target the row is of".to_owned());
        }
    };
    let schema = tables.get(table).ok_or("no such table")?;
    let (rows, written) = rows(schema, case, expect)?;
    if let Some(message) = fails(expect) {
        return Ok(Question::Transform {
            direction,
            table,
            rows,
            expect: Err(message),
        });
    }
    let one = |written: &Toml| -> Read<Became> {
        if written.as_str() == Some("drop") {
            return Ok(Vec::new());
        }
        if direction == Direction::Backward {
            return Ok(vec![(0, value::cells(&tables.source, written)?)]);
        }
        let by_table = written
            .as_table()
            .ok_or_else(|| format!("is \"drop\" or {{ table = {{ … }}, … }}, found {written}"))?;
        let mut out = by_table
            .iter()
            .map(|(name, row)| {
                let n = number(name)?;
                Ok((n, value::cells(&tables.targets[n - 1], row)?))
            })
            .collect::<Read<Vec<_>>>()?;
        out.sort_by_key(|(n, _)| *n);
        Ok(out)
    };
    let expect = written
        .into_iter()
        .map(|w| one(w).map_err(|e| format!("expect: {e}")))
        .collect::<Read<_>>()?;
    Ok(Question::Transform {
        direction,
        table,
        rows,
        expect: Ok(expect),
    })
}

fn validate(file: &CaseFile, case: &Table, expect: &Toml) -> Read<Question> {
    known(case, &["name", "row", "rows", "expect"])?;
    let table = file.table.as_ref().ok_or("the file has no [table]")?;
    let (rows, written) = rows(table, case, expect)?;
    if let Some(message) = fails(expect) {
        return Ok(Question::Validate {
            rows,
            expect: Err(message),
        });
    }
    let expect = written
        .into_iter()
        .map(|w| notes(w).map_err(|e| format!("expect: {e}")))
        .collect::<Read<_>>()?;
    Ok(Question::Validate {
        rows,
        expect: Ok(expect),
    })
}

fn notes(written: &Toml) -> Read<Vec<ExpectNote>> {
    let wrong = || {
        Err(format!(
            "is \"fine\", {{ error = \"…\" }}, {{ warning = \"…\" }} or a list of these; found {written}"
        ))
    };
    match written {
        Toml::String(text) if text == "fine" => Ok(Vec::new()),
        Toml::Array(list) => Ok(list.iter().map(notes).collect::<Read<Vec<_>>>()?.concat()),
        Toml::Table(table) if table.len() == 1 => {
            let Some((kind, Toml::String(message))) = table.iter().next() else {
                return wrong();
            };
            let severity = match kind.as_str() {
                "error" => Severity::Error,
                "warning" => Severity::Warning,
                _ => return wrong(),
            };
            Ok(vec![ExpectNote {
                severity,
                message: message.clone(),
            }])
        }
        _ => wrong(),
    }
}

//! The four questions: from the host's types into the guest's, and the checked answer back.

use wasmtime::Store;
use wasmtime::component::Instance;

use crate::data::{LogicalType, Row, Value};
use crate::plugin::guest::GuestState;
use crate::plugin::roles::Role;
use crate::rule::{
    Conflict, ConflictKind, Direction, Note, RequestHead, RouteDecision, Routed, RuleColumn,
    RuleTable, Severity, TransformTables, Verdict,
};

use super::answer::{self, Expected, Wrong, shown};
use super::columns::{RowsBuffer, flags};
use super::exports::{Exports, Stop};
use super::wire;

/// Length of a message that a rule may hang on a row; the rest is cut.
const MESSAGE_BYTES_MAX: usize = 2 * 1024;
/// The codes of choices in `wit/0.1.0/resolver.wit`.
const SOURCE: u8 = 0;
const TARGET: u8 = 1;
const MERGED: u8 = 2;
const DELETE: u8 = 3;
const PARK: u8 = 4;
/// Headers that a route may set.
const HEADERS_MAX: usize = 64;

/// An instance that runs one batch.
pub(crate) struct Running<'a> {
    pub(crate) exports: &'a Exports,
    pub(crate) store: &'a mut Store<GuestState>,
    pub(crate) instance: &'a Instance,
    /// The settings as JSON.
    pub(crate) settings: &'a str,
}

impl Running<'_> {
    /// Opens the instance for these tables.
    pub(crate) fn open(&mut self, tables: &[&RuleTable]) -> Result<(), Stop> {
        let tables: Vec<_> = tables.iter().map(|t| table(t)).collect();
        self.exports
            .open(self.store, self.instance, self.settings, &tables)
    }

    fn ask<P, T>(&mut self, role: Role, params: P) -> Result<T, Stop>
    where
        P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower,
        (Result<T, wire::Failure>,):
            wasmtime::component::ComponentNamedList + wasmtime::component::Lift,
    {
        self.exports.ask(role, self.store, self.instance, params)
    }
}

/// Conflicts as columns.
#[derive(Debug)]
pub(crate) struct ConflictColumns {
    kinds: Vec<u8>,
    backward: Vec<u8>,
    base_known: Vec<u8>,
    base_present: Vec<u8>,
    base: RowsBuffer,
    source: SideColumns,
    target: SideColumns,
}

#[derive(Debug)]
struct SideColumns {
    present: Vec<u8>,
    committed_known: Vec<u8>,
    committed_us: Vec<i64>,
    rows: RowsBuffer,
}

impl SideColumns {
    fn new<'c>(count: usize, width: usize, side: impl Fn(usize) -> &'c crate::rule::Side) -> Self {
        Self {
            present: flags(count, |i| side(i).row.is_some()),
            committed_known: flags(count, |i| side(i).committed_us.is_some()),
            committed_us: (0..count)
                .map(|i| side(i).committed_us.unwrap_or(0))
                .collect(),
            rows: RowsBuffer::new(count, width, |i| side(i).row.as_deref()),
        }
    }

    fn bytes(&self) -> usize {
        self.present.len()
            + self.committed_known.len()
            + self.committed_us.len() * 8
            + self.rows.bytes()
    }

    fn wire<'a>(&'a self, columns: &'a [wire::Column<'a>]) -> wire::Side<'a> {
        wire::Side {
            present: &self.present,
            committed_known: &self.committed_known,
            committed_us: &self.committed_us,
            rows: self.rows.wire(columns),
        }
    }
}

impl ConflictColumns {
    pub(crate) fn new(width: usize, conflicts: &[Conflict]) -> Self {
        let count = conflicts.len();
        Self {
            kinds: conflicts.iter().map(|c| kind(c.kind)).collect(),
            backward: backward(conflicts),
            base_known: flags(count, |i| conflicts[i].base_known),
            base_present: flags(count, |i| base(&conflicts[i]).is_some()),
            base: RowsBuffer::new(count, width, |i| base(&conflicts[i])),
            source: SideColumns::new(count, width, |i| &conflicts[i].source),
            target: SideColumns::new(count, width, |i| &conflicts[i].target),
        }
    }

    /// The bytes that they take in the guest's memory.
    pub(crate) fn bytes(&self) -> usize {
        self.kinds.len()
            + self.backward.len()
            + self.base_known.len()
            + self.base_present.len()
            + self.base.bytes()
            + self.source.bytes()
            + self.target.bytes()
    }
}

/// The base, where it is known.
fn base(conflict: &Conflict) -> Option<&[Value]> {
    conflict.base.as_deref().filter(|_| conflict.base_known)
}

/// Asks a resolver.
pub(crate) fn resolve(
    running: &mut Running<'_>,
    table: &RuleTable,
    conflicts: &[Conflict],
    columns: &ConflictColumns,
) -> Result<Vec<Verdict>, Stop> {
    running.open(&[table])?;
    let (base, source, target) = (
        columns.base.columns(),
        columns.source.rows.columns(),
        columns.target.rows.columns(),
    );
    let batch = wire::Conflicts {
        kinds: &columns.kinds,
        backward: &columns.backward,
        base: wire::Base {
            known: &columns.base_known,
            present: &columns.base_present,
            rows: columns.base.wire(&base),
        },
        source: columns.source.wire(&source),
        target: columns.target.wire(&target),
    };
    let answer: wire::Verdicts = running.ask::<wire::ResolveIn<'_>, _>(Role::Resolver, (batch,))?;
    Ok(verdicts(table, conflicts, answer)?)
}

fn verdicts(
    table: &RuleTable,
    conflicts: &[Conflict],
    answer: wire::Verdicts,
) -> Result<Vec<Verdict>, Wrong> {
    if answer.choices.len() != conflicts.len() {
        return Err(Wrong::new(format!(
            "answered {} choices for {} conflicts",
            answer.choices.len(),
            conflicts.len()
        )));
    }
    let origins: Vec<usize> = (0..conflicts.len())
        .filter(|&i| answer.choices[i] == MERGED)
        .collect();
    let columns: Vec<&RuleColumn> = table.columns.iter().collect();
    let came_in = |row: usize, column: usize, value: &Value| {
        sides(&conflicts[origins[row]]).any(|side| side.get(column) == Some(value))
    };
    let merged = answer::rows(
        answer.merged,
        &Expected {
            columns: &columns,
            origins: &origins,
            came_in: &came_in,
        },
    )
    .map_err(|w| Wrong {
        row: w.row,
        message: format!("merged rows: {}", w.message),
    })?;
    for (row, &origin) in merged.iter().zip(&origins) {
        key_unchanged(table, &conflicts[origin], origin, row)?;
    }
    let mut reasons: Vec<String> = Vec::new();
    for note in notes(answer.notes, conflicts.len())? {
        reasons.resize_with(conflicts.len(), String::new);
        let reason = &mut reasons[note.row];
        if !reason.is_empty() {
            reason.push_str("; ");
        }
        reason.push_str(&note.message);
    }
    let mut merged = merged.into_iter();
    let mut verdicts = Vec::with_capacity(conflicts.len());
    for (i, choice) in answer.choices.into_iter().enumerate() {
        verdicts.push(match choice {
            SOURCE => Verdict::Source,
            TARGET => Verdict::Target,
            DELETE => Verdict::Delete,
            MERGED => match merged.next() {
                Some(row) => Verdict::Merged(row),
                None => return Err(Wrong::row(i, "answered too few merged rows")),
            },
            PARK => Verdict::Park(
                reasons
                    .get_mut(i)
                    .map(std::mem::take)
                    .filter(|r| !r.is_empty())
                    .unwrap_or_else(|| "the rule gives no reason".to_owned()),
            ),
            other => {
                return Err(Wrong::row(
                    i,
                    format!("answered choice {other}; only {SOURCE} to {PARK} are allowed"),
                ));
            }
        });
    }
    Ok(verdicts)
}

/// The rows that a conflict is about.
fn sides(conflict: &Conflict) -> impl Iterator<Item = &[Value]> {
    [
        conflict.source.row.as_deref(),
        conflict.target.row.as_deref(),
        base(conflict),
    ]
    .into_iter()
    .flatten()
}

fn key_unchanged(
    table: &RuleTable,
    conflict: &Conflict,
    origin: usize,
    merged: &Row,
) -> Result<(), Wrong> {
    let same = |side: &[Value]| table.key.iter().all(|&k| side.get(k) == merged.get(k));
    if sides(conflict).any(same) || sides(conflict).next().is_none() {
        return Ok(());
    }
    let key: Vec<String> = table
        .key
        .iter()
        .map(|&k| format!("{} = {}", table.columns[k].name, shown(&merged[k])))
        .collect();
    Err(Wrong::row(
        origin,
        format!(
            "changed the key of the merged row to {}; a key must stay as it is",
            key.join(", ")
        ),
    ))
}

/// Asks a transformer.
pub(crate) fn transform(
    running: &mut Running<'_>,
    tables: &TransformTables,
    way: Direction,
    number: usize,
    rows: &[Row],
    columns: &RowsBuffer,
) -> Result<Vec<Routed>, Stop> {
    let mut opened = vec![&tables.source];
    opened.extend(&tables.targets);
    running.open(&opened)?;
    let wire_columns = columns.columns();
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let answer: Vec<wire::RoutedRows> = running.ask::<wire::TransformIn<'_>, _>(
        Role::Transformer,
        (direction(way), number, columns.wire(&wire_columns)),
    )?;
    let mut routed = Vec::with_capacity(answer.len());
    // What the tables have got already: an input row yields at most one row for each table.
    let mut taken = vec![false; (tables.targets.len() + 1) * rows.len()];
    for part in answer {
        routed.push(
            routed_rows(tables, way, rows, &mut taken, part).map_err(|w| Wrong {
                row: w.row,
                message: format!("routed rows: {}", w.message),
            })?,
        );
    }
    Ok(routed)
}

fn routed_rows(
    tables: &TransformTables,
    way: Direction,
    rows: &[Row],
    taken: &mut [bool],
    part: wire::RoutedRows,
) -> Result<Routed, Wrong> {
    let number = part.table as usize;
    let allowed = match way {
        Direction::Forward => number > 0,
        Direction::Backward => number == 0,
    };
    let Some(table) = tables.get(number).filter(|_| allowed) else {
        return Err(Wrong::new(format!(
            "table number {number} is not allowed here; {}",
            match way {
                Direction::Forward => format!("forward it is 1 to {}", tables.targets.len()),
                Direction::Backward => "backward it is 0".to_owned(),
            }
        )));
    };
    let mut given = Vec::with_capacity(part.columns.len());
    let mut definitions = Vec::with_capacity(part.columns.len());
    for &index in &part.columns {
        let column = table.columns.get(usize::from(index)).ok_or_else(|| {
            Wrong::new(format!(
                "column number {index}: table {} has {} columns",
                table.name,
                table.columns.len()
            ))
        })?;
        if given.contains(&usize::from(index)) {
            return Err(Wrong::new(format!("gave column {} twice", column.name)));
        }
        given.push(usize::from(index));
        definitions.push(column);
    }
    let mut origins = Vec::with_capacity(part.origins.len());
    for &origin in &part.origins {
        let origin = origin as usize;
        let slot = (origin < rows.len())
            .then(|| taken.get_mut(number * rows.len() + origin))
            .flatten();
        match slot {
            Some(taken) if !*taken => *taken = true,
            Some(_) => {
                return Err(Wrong::row(
                    origin,
                    format!("answered the row twice for table {}", table.name),
                ));
            }
            None => {
                return Err(Wrong::new(format!(
                    "a row comes from input row {origin}, but there are {}",
                    rows.len()
                )));
            }
        }
        origins.push(origin);
    }
    let came_in = |row: usize, _: usize, value: &Value| {
        !value.is_null() && rows[origins[row]].contains(value)
    };
    let answered = answer::rows(
        part.rows,
        &Expected {
            columns: &definitions,
            origins: &origins,
            came_in: &came_in,
        },
    )
    .map_err(|w| Wrong {
        row: w.row,
        message: format!("table {}: {}", table.name, w.message),
    })?;
    Ok(Routed {
        table: number,
        columns: given,
        origins,
        rows: answered,
    })
}

/// Asks a validator.
pub(crate) fn validate(
    running: &mut Running<'_>,
    table: &RuleTable,
    count: usize,
    columns: &RowsBuffer,
) -> Result<Vec<Note>, Stop> {
    running.open(&[table])?;
    let wire_columns = columns.columns();
    let answer: Vec<wire::Note> =
        running.ask::<wire::ValidateIn<'_>, _>(Role::Validator, (columns.wire(&wire_columns),))?;
    Ok(notes(answer, count)?)
}

fn notes(answer: Vec<wire::Note>, count: usize) -> Result<Vec<Note>, Wrong> {
    answer
        .into_iter()
        .map(|note| {
            let row = note.row as usize;
            if row >= count {
                return Err(Wrong::new(format!(
                    "a note is about row {row}, but there are {count}"
                )));
            }
            Ok(Note {
                row,
                severity: match note.severity {
                    wire::Severity::Warning => Severity::Warning,
                    wire::Severity::Error => Severity::Error,
                },
                message: cut(note.message),
            })
        })
        .collect()
}

/// A message of bounded length.
pub(crate) fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    message
}

/// Asks a router.
pub(crate) fn route(
    running: &mut Running<'_>,
    request: &RequestHead,
) -> Result<RouteDecision, Stop> {
    running.open(&[])?;
    let head = wire::RequestHead {
        method: &request.method,
        path: &request.path,
        query: &request.query,
        headers: request
            .headers
            .iter()
            .map(|(name, value)| wire::Header { name, value })
            .collect(),
        client: &request.client,
        service: &request.service,
    };
    let answer: wire::Decision = running.ask::<wire::RouteIn<'_>, _>(Role::Router, (head,))?;
    Ok(match answer {
        wire::Decision::Monolith(set) => RouteDecision::Monolith {
            headers: headers(set)?,
        },
        wire::Decision::Service(set) => RouteDecision::Service {
            headers: headers(set)?,
        },
        wire::Decision::ByStrategy => RouteDecision::Default,
        wire::Decision::Refuse(refusal) => {
            if !(400..600).contains(&refusal.status) {
                return Err(Wrong::new(format!(
                    "refused with status {}; only 400 to 599 are allowed",
                    refusal.status
                ))
                .into());
            }
            RouteDecision::Refuse {
                status: refusal.status,
                message: cut(refusal.message),
            }
        }
    })
}

/// Headers that cannot smuggle a second one in.
fn headers(set: Vec<wire::HeaderOut>) -> Result<Vec<(String, String)>, Wrong> {
    if set.len() > HEADERS_MAX {
        return Err(Wrong::new(format!(
            "sets {} headers; at most {HEADERS_MAX} are allowed",
            set.len()
        )));
    }
    set.into_iter()
        .map(|header| {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if header.name.is_empty() || !header.name.bytes().all(token) {
                return Err(Wrong::new(format!(
                    "{:?} is not a header name",
                    header.name
                )));
            }
            if header
                .value
                .bytes()
                .any(|b| b < 0x20 && b != b'\t' || b == 0x7f)
            {
                return Err(Wrong::new(format!(
                    "the value of header {} holds control characters",
                    header.name
                )));
            }
            Ok((header.name, header.value))
        })
        .collect()
}

fn table(table: &RuleTable) -> wire::Table<'_> {
    wire::Table {
        name: &table.name,
        columns: table
            .columns
            .iter()
            .map(|c| wire::ColumnDef {
                name: &c.name,
                source_type: &c.declared_type,
                logical_type: logical(c.logical),
                nullable: c.nullable,
            })
            .collect(),
        key: table
            .key
            .iter()
            .map(|&k| u16::try_from(k).unwrap_or(u16::MAX))
            .collect(),
    }
}

fn logical(logical: LogicalType) -> wire::LogicalType {
    match logical {
        LogicalType::Any => wire::LogicalType::Any,
        LogicalType::Bool => wire::LogicalType::Boolean,
        LogicalType::Int => wire::LogicalType::Int64,
        LogicalType::UInt => wire::LogicalType::Uint64,
        LogicalType::Decimal => wire::LogicalType::Decimal,
        LogicalType::Float => wire::LogicalType::Float64,
        LogicalType::Text => wire::LogicalType::Text,
        LogicalType::Bytes => wire::LogicalType::Bytes,
        LogicalType::Date => wire::LogicalType::Date,
        LogicalType::Time => wire::LogicalType::Time,
        LogicalType::Timestamp => wire::LogicalType::Timestamp,
        LogicalType::TimestampUtc => wire::LogicalType::TimestampUtc,
        LogicalType::Uuid => wire::LogicalType::Uuid,
        LogicalType::Json => wire::LogicalType::Json,
    }
}

fn direction(direction: Direction) -> wire::Direction {
    match direction {
        Direction::Forward => wire::Direction::Forward,
        Direction::Backward => wire::Direction::Backward,
    }
}

/// Empty, as nearly always, when all changes go forward.
fn backward(conflicts: &[Conflict]) -> Vec<u8> {
    if conflicts.iter().all(|c| c.direction == Direction::Forward) {
        Vec::new()
    } else {
        conflicts
            .iter()
            .map(|c| u8::from(c.direction == Direction::Backward))
            .collect()
    }
}

/// The code of a kind in `wit/0.1.0/resolver.wit`.
fn kind(kind: ConflictKind) -> u8 {
    match kind {
        ConflictKind::InsertExists => 0,
        ConflictKind::UpdateOriginDiffers => 1,
        ConflictKind::UpdateExists => 2,
        ConflictKind::UpdateDeleted => 3,
        ConflictKind::UpdateMissing => 4,
        ConflictKind::DeleteOriginDiffers => 5,
        ConflictKind::DeleteMissing => 6,
        ConflictKind::MultipleUniqueConflicts => 7,
        ConflictKind::FkParentMissing => 8,
        ConflictKind::FkChildExists => 9,
        ConflictKind::CheckViolation => 10,
        ConflictKind::NotNullViolation => 11,
        ConflictKind::ValueNotRepresentable => 12,
        ConflictKind::ValidationFailed => 13,
    }
}

//! The running proof: rows are compared after they changed, so that what was proven equal stays proven.
//!
//! A comparison of everything says that both sides were equal at one time. From then on whoever carries
//! the changes over notes which rows they are of, and these alone are compared, whatever the size of the
//! tables. Both together say of every row that it was compared after its last change. (Damage to a row
//! that nobody changes is found by the next comparison of everything.)
//!
//! Nothing on its way is a difference. A row is one that differs in the same way at two looks, between which
//! everything that was committed before has got across ([`Flow::across`]), as it has once more after the
//! second, and of which no change was noted from before the first look until then. A change is noted before
//! it is applied: of a change that either look saw on its way the row would have been noted, or it would
//! have arrived before the second. And a row counts as equal only if it is so after all changes have got
//! across that were noted of it: before, it may be equal because the older of two waits. So rows that flip
//! between two values cannot deceive it, as they can one who knows nothing of the changes. What was found to
//! differ counts as different until it is seen equal.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;

use crate::data::order::compare_keys;
use crate::data::{Key, Row, canonical};
use crate::database::UnitKey;
use crate::error::Result;
use crate::rule::mapping::MappedTable;

use super::flow::{Across, Flow, Moving};
use super::json;
use super::order::differing_columns;
use super::report::Report;
use super::suspect::{DifferenceKind, Suspect};
use super::tolerance::Tolerance;

/// Rows that are read at once.
const PAGE_ROWS: usize = 500;
/// Rows that wait to be compared, at most.
const PENDING_MAX: usize = 1_000_000;
/// A row that goes on differing is looked at again after so many rounds at most.
const ROUNDS_MAX: u32 = 60;

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unproven {
    /// The target's table.
    pub table: String,
    /// The row's key in it, as JSON.
    pub key: String,
    /// How it differs.
    pub kind: DifferenceKind,
}

/// A row of both sides in the target table's form.
#[derive(Clone, Debug, PartialEq)]
pub struct BothRows {
    /// What the source's row is in the target.
    pub source: Option<Row>,
    /// The target's.
    pub target: Option<Row>,
}

/// What a proof rests on.
pub trait Ground: Send + Sync {
    /// Rows whose conflict is not closed, with their keys in the source.
    fn open(&self) -> BoxFuture<'_, Result<Vec<(UnitKey, Key)>>>;

    /// Rows of which changes were noted since the last call, with their keys in the source; `None`: some
    /// may be missing.
    fn noted(&self) -> Option<Vec<(UnitKey, Key)>>;

    /// Rows of a unit as they are, by their keys in the target and in the source. `None`: it cannot be
    /// told what the source has there.
    fn rows<'a>(
        &'a self,
        unit: usize,
        keys: &'a [(Key, Key)],
    ) -> BoxFuture<'a, Result<Vec<Option<BothRows>>>>;

    /// Tells when changes have got across.
    fn flow(&self) -> &dyn Flow;

    /// Called after each page with the time that reading it took.
    fn rest(&self, read: Duration) -> BoxFuture<'_, ()>;
}

/// A table of the target whose rows are compared.
#[derive(Clone, Debug)]
pub struct ProofTable {
    name: String,
    columns: Vec<String>,
    key: Vec<usize>,
    tolerance: Tolerance,
}

impl ProofTable {
    /// The table, and by how much numbers of its columns may differ.
    #[must_use]
    pub fn new(table: &MappedTable, tolerances: Option<&BTreeMap<String, f64>>) -> Self {
        let columns: Vec<String> = table.table.columns.iter().map(|c| c.name.clone()).collect();
        Self {
            name: table.table.name.clone(),
            key: table.table.key.clone(),
            tolerance: Tolerance::new(&columns, tolerances),
            columns,
        }
    }

    /// A key as reports have it.
    fn key_text(&self, key: &Key) -> String {
        let names = self.key.iter().map(|&k| self.columns[k].clone());
        let cells: Vec<usize> = (0..self.key.len().min(key.0.len())).collect();
        let names: Vec<String> = names.collect();
        serde_json::Value::Object(json::cells(&names, &key.0, &cells)).to_string()
    }
}

/// How a row differed: what each side had, digested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    kind: DifferenceKind,
    rows: [Option<[u8; 32]>; 2],
}

/// What is known of a row that changed.
#[derive(Debug, Default)]
struct Pending {
    source_key: Option<Key>,
    /// How it differed when it was last looked at; `None`: it was not looked at since it changed.
    seen: Option<Seen>,
    /// How it differs for certain.
    different: Option<DifferenceKind>,
    /// How often it was seen the same, and for how many rounds it is left alone.
    same: u32,
    rest: u32,
}

/// What a round came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Round {
    /// What was committed before the round began has been compared, but for rows that moved on
    /// ([`Proof::in_flight`]).
    Through,
    /// Nobody carries changes over, and those of some rows wait.
    Waits,
    /// Changes did not get across within the patience; why, as far as known.
    Late(String),
    /// Rows may have changed of which nothing was noted: only a comparison of everything helps.
    Lost,
}

/// A proof that goes on; see the module's text.
#[derive(Debug)]
pub struct Proof {
    /// By unit.
    tables: Vec<ProofTable>,
    pending: HashMap<UnitKey, Pending>,
    /// Whether rows in conflict are in `pending`.
    has_open: bool,
    compared: u64,
    untold: u64,
}

impl Proof {
    /// Of these tables, by unit. Nothing has changed yet.
    #[must_use]
    pub fn new(tables: Vec<ProofTable>) -> Self {
        Self {
            tables,
            pending: HashMap::new(),
            has_open: false,
            compared: 0,
            untold: 0,
        }
    }

    /// From now on of these tables, and from the beginning.
    pub fn begin_anew(&mut self, tables: Vec<ProofTable>) {
        self.tables = tables;
        self.forget();
    }

    fn forget(&mut self) {
        self.pending.clear();
        self.has_open = false;
    }

    /// How often a row was found equal after it had changed.
    #[must_use]
    pub fn compared(&self) -> u64 {
        self.compared
    }

    /// How often it could not be told what the source has for a row.
    #[must_use]
    pub fn untold(&self) -> u64 {
        self.untold
    }

    /// Rows that changed and are neither proven equal yet nor different.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        (self.pending.len() as u64).saturating_sub(self.different())
    }

    /// Rows that differ.
    #[must_use]
    pub fn different(&self) -> u64 {
        self.pending
            .values()
            .filter(|p| p.different.is_some())
            .count() as u64
    }

    /// The rows that differ, by table and key; the first so many.
    #[must_use]
    pub fn list(&self, most: usize) -> Vec<Unproven> {
        let rows = self.pending.iter().filter_map(|(unit, pending)| {
            let table = self.tables.get(unit.unit)?;
            Some(Unproven {
                table: table.name.clone(),
                key: table.key_text(&unit.key),
                kind: pending.different?,
            })
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        rows.truncate(most);
        rows
    }

    /// Compares what has changed since the last round. Fails with what a store says when it cannot be
    /// read; then nothing more is proven, and the next round goes on.
    pub async fn round(&mut self, ground: &dyn Ground, patience: Duration) -> Result<Round> {
        if !self.has_open {
            // A conflict that is opened later is noted with its change.
            for (unit, source_key) in ground.open().await? {
                self.touch(unit, source_key);
            }
            self.has_open = true;
        }
        // The first wait brings the notes of everything that was committed before the round, the second one
        // what is noted: a row that is equal then is not one whose change still waits.
        if let Across::Late(why) = ground.flow().across(patience).await? {
            return Ok(Round::Late(why));
        }
        if !self.take_notes(ground) {
            return Ok(Round::Lost);
        }
        let (moving, round) = match ground.flow().across(patience).await? {
            Across::Late(why) => return Ok(Round::Late(why)),
            Across::Still(moving) if !moving.is_empty() => (moving, Round::Waits),
            Across::Carried(moving) | Across::Still(moving) => (moving, Round::Through),
        };
        let mut pages: BTreeMap<usize, Vec<(Key, Key)>> = BTreeMap::new();
        for (unit, pending) in &mut self.pending {
            if pending.rest > 0 {
                pending.rest -= 1;
            } else if let Some(source_key) = &pending.source_key {
                let keys = (unit.key.clone(), source_key.clone());
                pages.entry(unit.unit).or_default().push(keys);
            }
        }
        let mut twice = Vec::new();
        for (unit, mut keys) in pages {
            // Neighbours lie near each other in the stores, too.
            keys.sort_by(|(a, _), (b, _)| compare_keys(&a.0, &b.0));
            for keys in keys.chunks(PAGE_ROWS) {
                let begun = Instant::now();
                let rows = ground.rows(unit, keys).await?;
                let took = begun.elapsed();
                for ((key, _), rows) in keys.iter().zip(rows) {
                    let key = key.clone();
                    twice.extend(self.look(UnitKey { unit, key }, rows));
                }
                ground.rest(took).await;
            }
        }
        if !self.take_notes(ground) {
            return Ok(Round::Lost);
        }
        twice.retain(|unit| self.is_seen(unit) && !self.is_moving(&moving, unit));
        if twice.is_empty() {
            return Ok(round);
        }
        // What the second look saw on its way must have been noted, too.
        let moving = match ground.flow().across(patience).await? {
            Across::Carried(moving) | Across::Still(moving) => moving,
            // Of these rows nothing is certain yet; the others have been compared.
            Across::Late(_) => return Ok(round),
        };
        if !self.take_notes(ground) {
            return Ok(Round::Lost);
        }
        // What was noted since is looked at anew.
        twice.retain(|unit| self.is_seen(unit) && !self.is_moving(&moving, unit));
        for unit in twice {
            if let Some(pending) = self.pending.get_mut(&unit) {
                pending.different = pending.seen.map(|seen| seen.kind);
                pending.same = (pending.same + 1).min(16);
                pending.rest = (1 << (pending.same - 1).min(10)).min(ROUNDS_MAX) - 1;
            }
        }
        Ok(round)
    }

    /// Everything that is noted counts as not looked at. Answers whether nothing is missing.
    fn take_notes(&mut self, ground: &dyn Ground) -> bool {
        let noted = ground.noted();
        let room = PENDING_MAX.saturating_sub(self.pending.len());
        let Some(noted) = noted.filter(|noted| noted.len() <= room) else {
            self.forget();
            return false;
        };
        for (unit, source_key) in noted {
            self.touch(unit, source_key);
        }
        true
    }

    fn touch(&mut self, unit: UnitKey, source_key: Key) {
        let pending = self.pending.entry(unit).or_default();
        *pending = Pending {
            source_key: Some(source_key),
            different: pending.different,
            ..Pending::default()
        };
    }

    /// Whether a row was seen to differ and nothing was noted of it since.
    fn is_seen(&self, unit: &UnitKey) -> bool {
        self.pending.get(unit).is_some_and(|p| p.seen.is_some())
    }

    fn is_moving(&self, moving: &Moving, unit: &UnitKey) -> bool {
        let table = self.tables.get(unit.unit);
        table.is_none_or(|table| moving.has(&table.name, unit.key.clone()))
    }

    /// Takes in how a row is. Answers it if it differs as it did before.
    fn look(&mut self, unit: UnitKey, rows: Option<BothRows>) -> Option<UnitKey> {
        let tolerance = &self.tables.get(unit.unit)?.tolerance;
        let Some(rows) = rows else {
            self.untold += 1;
            self.pending.remove(&unit);
            return None;
        };
        let Some(now) = difference(rows, tolerance) else {
            self.compared += 1;
            self.pending.remove(&unit);
            return None;
        };
        let pending = self.pending.get_mut(&unit)?;
        let is_same = pending.seen == Some(now);
        pending.seen = Some(now);
        if !is_same {
            pending.same = 0;
        }
        is_same.then_some(unit)
    }

    /// Whether everything that a comparison found different is known to this proof as different.
    #[must_use]
    pub fn knows_all_of(report: &Report, known: &BTreeSet<(String, String)>) -> bool {
        report.differences_total == report.differences.len() as u64
            && report.differences.iter().all(|d| {
                let key = serde_json::Value::Object(d.key.clone()).to_string();
                known.contains(&(d.table.clone(), key))
            })
    }
}

/// How the rows differ, if they do.
fn difference(rows: BothRows, tolerance: &Tolerance) -> Option<Seen> {
    let suspect = Suspect {
        source: rows.source,
        target: rows.target,
        before: None,
        ordinal: 0,
    };
    let is_equal = match (&suspect.source, &suspect.target) {
        (None, None) => true,
        (Some(a), Some(b)) => differing_columns(a, b).is_empty(),
        _ => false,
    };
    let digest = |row: &Option<Row>| {
        let row = row.as_ref()?;
        Some(*blake3::hash(&canonical::encode_exact(row)).as_bytes())
    };
    (!is_equal && !tolerance.allows(&suspect)).then(|| Seen {
        kind: suspect.kind(),
        rows: [digest(&suspect.source), digest(&suspect.target)],
    })
}

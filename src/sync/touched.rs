//! Which rows change, for whoever proves them equal after they did.
//!
//! An engine that is told to ([`Engine::tell`](super::Engine::tell)) notes every row of which it reads a
//! change, before the change is applied to the other side, and every row that it writes otherwise. Of what
//! is applied between two looks at a row there is a note, from between them or before. Rows that it writes
//! of its own accord (what a rule decides, on both sides; what a change brings with it for other tables) are
//! in no log that it reads: their notes are held, which means that whoever asks gets them each time, until
//! they are written, and once more after that. Where rows change without a note (they are copied, changes
//! were missed, the rules are others), it says that notes were lost.
//!
//! The list is bounded: when nobody empties it, it is given up, and [`Touches::lost`] says so.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::data::{FastMap, Key};
use crate::database::UnitKey;

use super::plan::Plan;

/// Rows that are noted at most.
const ROWS_MAX: usize = 1_000_000;

/// Takes notes of one migration. Several engines may be at work, one after the other.
#[derive(Debug, Default)]
pub struct Touched {
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    touches: Touches,
    held: Vec<(UnitKey, Key)>,
    engines: u64,
    standing: Option<Standing>,
}

/// What was noted since the last time that somebody asked.
#[derive(Debug, Default)]
pub struct Touches {
    /// Rows, with the key of each in the source.
    pub rows: FastMap<UnitKey, Key>,
    /// Whether rows may have changed of which there is no note.
    pub lost: bool,
}

/// The engine that is at work.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its number, from 1.
    pub number: u64,
    /// What it syncs; the units of the notes are this plan's.
    pub plan: Arc<Plan>,
    /// Whether all tables are copied.
    pub is_copied: bool,
    /// Tables that are paused, each with why.
    pub paused: Vec<String>,
}

impl Touched {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An engine is at work, until the answer is dropped.
    pub(super) fn begin(self: &Arc<Self>, plan: Plan, is_copied: bool) -> Telling {
        let mut notes = self.notes();
        notes.engines += 1;
        notes.standing = Some(Standing {
            number: notes.engines,
            plan: Arc::new(plan),
            is_copied,
            paused: Vec::new(),
        });
        Telling {
            touched: Arc::clone(self),
            number: notes.engines,
        }
    }

    /// The engine that is at work, if one is.
    pub fn standing(&self) -> Option<Standing> {
        self.notes().standing.clone()
    }

    /// All tables are copied. What was copied is in no note.
    pub(super) fn copied(&self) {
        let mut notes = self.notes();
        if let Some(standing) = &mut notes.standing
            && !standing.is_copied
        {
            standing.is_copied = true;
            notes.touches.lose();
        }
    }

    /// A table is paused: its changes may have been missed.
    pub(super) fn pause(&self, table: &str, why: &str) {
        let mut notes = self.notes();
        if let Some(standing) = &mut notes.standing {
            standing
                .paused
                .push(format!("table {table} is paused: {why}"));
        }
        notes.touches.lose();
    }

    pub(super) fn note_all<'a>(&self, rows: impl Iterator<Item = (&'a UnitKey, &'a Key)>) {
        let touches = &mut self.notes().touches;
        for (unit, source_key) in rows {
            if !touches.add(unit, source_key) {
                return;
            }
        }
    }

    /// Notes a row that is about to be written, until [`Self::release`].
    pub(super) fn hold(&self, unit: UnitKey, source_key: Key) {
        let mut notes = self.notes();
        notes.touches.add(&unit, &source_key);
        // Also where notes were lost: whoever asks next begins anew, perhaps before it is written.
        notes.held.push((unit, source_key));
    }

    /// What is held was written, or will not be.
    pub(super) fn release(&self) {
        self.notes().release();
    }

    /// Rows may have changed of which there is no note.
    pub fn lose(&self) {
        self.notes().touches.lose();
    }

    /// Takes all notes, but for those that are held: of these it gets a copy.
    pub fn drain(&self) -> Touches {
        let mut notes = self.notes();
        let mut touches = std::mem::take(&mut notes.touches);
        for (unit, source_key) in &notes.held {
            if !touches.add(unit, source_key) {
                break;
            }
        }
        touches
    }
}

impl Notes {
    fn release(&mut self) {
        for (unit, source_key) in std::mem::take(&mut self.held) {
            self.touches.add(&unit, &source_key);
        }
    }
}

impl Touches {
    /// Answers whether nothing is missing.
    fn add(&mut self, unit: &UnitKey, source_key: &Key) -> bool {
        if !self.lost && self.rows.len() >= ROWS_MAX && !self.rows.contains_key(unit) {
            self.lose();
        }
        if !self.lost {
            self.rows.insert(unit.clone(), source_key.clone());
        }
        !self.lost
    }

    fn lose(&mut self) {
        *self = Self {
            lost: true,
            ..Self::default()
        };
    }
}

/// An engine that takes notes.
#[derive(Debug)]
pub(super) struct Telling {
    touched: Arc<Touched>,
    number: u64,
}

impl Deref for Telling {
    type Target = Touched;

    fn deref(&self) -> &Touched {
        &self.touched
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let mut notes = self.touched.notes();
        notes.release();
        if notes
            .standing
            .as_ref()
            .is_some_and(|s| s.number == self.number)
        {
            notes.standing = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Value;

    fn unit(i: i64) -> (UnitKey, Key) {
        let key = Key(vec![Value::Int(i)]);
        let unit = UnitKey {
            unit: 0,
            key: key.clone(),
        };
        (unit, key)
    }

    #[test]
    fn what_is_held_is_told_each_time_and_once_after() {
        let touched = Touched::default();
        let (row, key) = unit(1);
        touched.hold(row, key);
        let told = || touched.drain().rows.len();
        assert_eq!((told(), told()), (1, 1));
        touched.release();
        assert_eq!((told(), told()), (1, 0));
    }

    #[test]
    fn too_many_rows_are_none_and_said_to_be_lost() {
        let touched = Touched::default();
        let rows: Vec<_> = (0..ROWS_MAX as i64).map(unit).collect();
        let note = |rows: &[(UnitKey, Key)]| touched.note_all(rows.iter().map(|(u, k)| (u, k)));
        note(&rows);
        note(&[unit(7)]);
        let noted = touched.drain();
        assert_eq!((noted.rows.len(), noted.lost), (ROWS_MAX, false));
        note(&rows);
        note(&[unit(-1)]);
        let noted = touched.drain();
        assert_eq!((noted.rows.len(), noted.lost), (0, true));
        note(&[unit(-1)]);
        assert_eq!(touched.drain().rows.len(), 1, "from here on anew");
    }
}

//! Which rows changed, for whoever proves them equal after they did.
//!
//! An engine that is told to ([`Engine::tell`](super::Engine::tell)) notes every row of which it reads a
//! change, before the change is applied to the other side, and every row whose conflict is open. So a row
//! that is not noted between two looks was not changed by anything that arrived between them.
//!
//! The list is bounded: when nobody empties it, it is given up, and [`Touches::lost`] says so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::data::{FastMap, Key};
use crate::database::UnitKey;

/// Rows that are noted at most.
const ROWS_MAX: usize = 1_000_000;

/// Takes notes of one migration. Several engines may have been at work, one after the other.
#[derive(Debug, Default)]
pub struct Touched {
    notes: Mutex<Touches>,
    engines: AtomicU64,
}

/// What was noted since the last time that somebody asked.
#[derive(Debug, Default)]
pub struct Touches {
    /// Rows, with the key of each in the source.
    pub rows: FastMap<UnitKey, Key>,
    /// Whether rows may have changed of which there is no note.
    pub lost: bool,
}

impl Touched {
    /// An engine is at work from now on.
    pub(super) fn begin(&self) {
        self.engines.fetch_add(1, Ordering::Relaxed);
    }

    /// How many engines have been at work.
    pub fn engines(&self) -> u64 {
        self.engines.load(Ordering::Relaxed)
    }

    /// A row changed, or its conflict is open.
    pub(super) fn note(&self, unit: &UnitKey, source_key: &Key) {
        self.note_all(std::iter::once((unit, source_key)));
    }

    pub(super) fn note_all<'a>(&self, rows: impl Iterator<Item = (&'a UnitKey, &'a Key)>) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        for (unit, source_key) in rows {
            if notes.lost {
                return;
            }
            if notes.rows.len() >= ROWS_MAX && !notes.rows.contains_key(unit) {
                *notes = Touches {
                    lost: true,
                    ..Touches::default()
                };
                return;
            }
            notes.rows.insert(unit.clone(), source_key.clone());
        }
    }

    /// Rows may have changed of which there is no note: they were copied, or somebody else synced.
    pub fn lose(&self) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        *notes = Touches {
            lost: true,
            ..Touches::default()
        };
    }

    /// Takes all notes.
    pub fn drain(&self) -> Touches {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut notes)
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
    fn too_many_rows_are_none_and_said_to_be_lost() {
        let touched = Touched::default();
        let rows: Vec<_> = (0..ROWS_MAX as i64).map(unit).collect();
        touched.note_all(rows.iter().map(|(unit, key)| (unit, key)));
        let (unit_again, key_again) = unit(7);
        touched.note(&unit_again, &key_again);
        let (more, key) = unit(-1);
        let noted = touched.drain();
        assert_eq!((noted.rows.len(), noted.lost), (ROWS_MAX, false));
        touched.note_all(rows.iter().map(|(unit, key)| (unit, key)));
        touched.note(&more, &key);
        let noted = touched.drain();
        assert_eq!((noted.rows.len(), noted.lost), (0, true));
        touched.note(&more, &key);
        assert_eq!(touched.drain().rows.len(), 1, "from here on anew");
    }
}

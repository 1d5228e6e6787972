//! What the feeds hold behind what is read of them, while tables are copied over rows.

use std::collections::HashMap;
use std::hash::Hash;

use crate::data::{Change, Key, Row};
use crate::database::{ChunkMark, Patience, Role, SyncStore, UnitKey};
use crate::error::{ErrorKind, Result};

use super::engine::Engine;

/// One side's changes that are still to be read, of tables that are copied over rows. Where none of them is until everything is copied, each is
/// looked at once.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    upto: u64,
    /// By table and key, in order.
    changes: HashMap<(usize, Key), Vec<Touch>>,
    /// There are too many of them: nothing is known of any.
    is_cut_off: bool,
}

#[derive(Clone, Debug)]
struct Touch {
    seq: u64,
    before: Option<Row>,
    /// Whether the row was there after it.
    held: bool,
}

/// What rows were before their first changes since both sides were made alike; no entry: there is no such
/// change.
type Images<K> = HashMap<K, Option<Row>>;

/// Finds them in the changes of a feed, in order.
#[derive(Debug)]
struct FirstImages<K> {
    images: Images<K>,
    /// Before what a former copy covered, and whether its chunk held the row: then both sides were alike.
    former: HashMap<K, (Option<Row>, bool)>,
}

impl<K> Default for FirstImages<K> {
    fn default() -> Self {
        Self {
            images: HashMap::new(),
            former: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> FirstImages<K> {
    /// A change, by what tells its row apart; the chunk of a former copy that covered it; the row before, and
    /// whether it was there after it.
    fn add(&mut self, key: K, former: Option<&ChunkMark>, before: Option<&Row>, held: bool) {
        match former {
            Some(chunk) => {
                // Into a table without rows it brought none that was gone.
                let before = before.filter(|_| chunk.over_rows);
                let known = self.former.entry(key);
                known.or_insert_with(|| (before.cloned(), false)).1 = held;
            }
            None => {
                self.images.entry(key).or_insert_with(|| before.cloned());
            }
        }
    }

    fn images(mut self) -> Images<K> {
        for (key, (before, held)) in self.former {
            if !held {
                self.images.insert(key, before);
            }
        }
        self.images
    }
}

impl<S: SyncStore> Engine<S> {
    /// Looks at a side's changes that are still to be read.
    pub(super) async fn look_ahead(&mut self, role: Role) -> Result<()> {
        let i = role.index();
        let mut ahead = std::mem::take(&mut self.ahead[i]);
        if role == Role::Source && !self.stores[i].copies_one_instant() {
            // It is read meanwhile.
            ahead = Ahead::default();
        }
        if !ahead.is_cut_off {
            let from = ahead.upto.max(self.read[i]);
            let upto = self
                .for_each_behind(role, from, |change| {
                    let table = match role {
                        Role::Source => change.table,
                        Role::Target => self.plan.units[change.table].mapping,
                    };
                    if !self.copied_before.contains(&table) {
                        return;
                    }
                    self.for_each_key(role, change, |key, before, after| {
                        let of_key = ahead.changes.entry((change.table, key.clone()));
                        of_key.or_default().push(Touch {
                            seq: change.seq,
                            before: before.cloned(),
                            held: after.is_some(),
                        });
                    });
                })
                .await;
            match upto {
                Ok(upto) => ahead.upto = upto,
                // Rows that differ are conflicts, then.
                Err(e) if e.kind() == ErrorKind::Refused => {
                    ahead.is_cut_off = true;
                    ahead.changes.clear();
                }
                Err(e) => return Err(e),
            }
        }
        self.ahead[i] = ahead;
        Ok(())
    }

    pub(super) fn is_cut_off(&self, role: Role) -> bool {
        self.ahead[role.index()].is_cut_off
    }

    /// What the row of a unit was before its first change behind what is read, since both sides were made
    /// alike; `place`: its table and key on that side. `None`: there is no such change.
    pub(super) fn first_image(
        &self,
        role: Role,
        place: (usize, &Key),
        unit: &UnitKey,
    ) -> Option<Option<Row>> {
        let (table, key) = place;
        let touches = self.ahead[role.index()]
            .changes
            .get(&(table, key.clone()))?;
        let settled = self.settled[role.index()].get(unit).copied().unwrap_or(0);
        let from = settled.max(self.read[role.index()]);
        let mut first = FirstImages::default();
        for touch in touches.iter().filter(|touch| touch.seq > from) {
            let former = match role {
                Role::Source => self.copy.former_chunk(table, key, touch.seq),
                Role::Target => None,
            };
            first.add((), former, touch.before.as_ref(), touch.held);
        }
        first.images().remove(&())
    }

    /// For each key of a table that a feed mentions behind what is read, likewise; nothing is settled yet.
    pub(super) async fn all_first_images(
        &self,
        role: Role,
        table: usize,
    ) -> Result<HashMap<Key, Option<Row>>> {
        let mut out = FirstImages::default();
        let read = self.read[role.index()];
        self.for_each_behind(role, read, |change| {
            if change.table != table {
                return;
            }
            self.for_each_key(role, change, |key, before, after| {
                let former = match role {
                    Role::Source => self.copy.former_chunk(table, key, change.seq),
                    Role::Target => None,
                };
                out.add(key.clone(), former, before, after.is_some());
            });
        })
        .await?;
        Ok(out.images())
    }

    /// Looks at all that a side's feed holds behind a place; answers up to where.
    async fn for_each_behind(
        &self,
        role: Role,
        mut after: u64,
        mut look: impl FnMut(&Change) + Send,
    ) -> Result<u64> {
        self.store(role).catch_up(after, Patience::Endless).await?;
        loop {
            let page = self
                .store(role)
                .read_feed(after, self.options.batch_rows)
                .await?;
            after = page.commit.end;
            page.commit.changes.iter().for_each(&mut look);
            if !page.more {
                return Ok(after);
            }
        }
    }

    /// The keys of a change, one or two, with what the row under the key was and is.
    fn for_each_key(
        &self,
        role: Role,
        change: &Change,
        mut look: impl FnMut(&Key, Option<&Row>, Option<&Row>),
    ) {
        let key = |row: &Option<Row>| Some(self.key_of(role, change.table, row.as_ref()?));
        let (was, is) = (key(&change.before), key(&change.after));
        if let Some(key) = &was {
            let after = change.after.as_ref().filter(|_| is == was);
            look(key, change.before.as_ref(), after);
        }
        if let Some(key) = is.filter(|key| Some(key) != was.as_ref()) {
            look(&key, None, change.after.as_ref());
        }
    }

    /// The key of a row of a side's table.
    pub(super) fn key_of(&self, role: Role, table: usize, row: &Row) -> Key {
        match role {
            Role::Source => self.plan.mappings[table].source.key(row),
            Role::Target => {
                let unit = &self.plan.units[table];
                self.plan.mappings[unit.mapping].targets[unit.target].key(row)
            }
        }
    }
}

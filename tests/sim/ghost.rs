//! The oracle: what every row takes into account, told apart from what the engine believes.
//!
//! Each application write has a bit. A row's *ancestry* holds the bits of all writes that it takes
//! into account: those it was made from, and those that a recorded decision weighed. Lineage is by
//! value: a side that went x → y → x counts as not having moved.

use std::collections::{BTreeMap, HashMap, VecDeque};

use banyan::data::Row;
use banyan::database::{ApplyBatch, Outcome, Role};

use super::store::{Cell, Entry, Notes, Place, Side, State, place};

/// A set of application writes.
pub(crate) type Ancestry = u128;

/// A row as a chunk holds it.
type Seen = (Place, Ancestry, Option<Row>);

#[derive(Debug, Default)]
pub(crate) struct Ghost {
    /// What was wrong, first things first.
    pub(crate) violations: Vec<String>,
    /// Rows as read by an engine's copy, chunk by chunk, until they are written.
    pub(crate) chunks: BTreeMap<usize, VecDeque<Vec<Seen>>>,
    /// Each side's rows when its lock was last taken.
    pub(crate) locked: [BTreeMap<Place, Cell>; 2],
    /// Decisions made: whose versions, and the result.
    decided: Vec<(Place, [u32; 2], [Option<Row>; 2])>,
    records: HashMap<[u8; 16], Ancestry>,
    /// Decisions that a rule made.
    pub(crate) by_rule: u64,
    /// Decisions that a person made.
    pub(crate) by_person: u64,
    pub(crate) suspects: u64,
    /// Rows that a person saw before answering.
    pub(crate) looks: Vec<[Option<Row>; 2]>,
}

/// Versions of the key from `from` on take `more` into account.
fn alias(side: &mut Side, at: Place, from: u64, more: Ancestry) {
    for e in side
        .log
        .iter_mut()
        .filter(|e| e.place == at && e.seq >= from)
    {
        e.anc |= more;
    }
    side.cells.entry(at).or_default().anc |= more;
}

fn anc(side: &Side, at: Place) -> Ancestry {
    side.cells.get(&at).map_or(0, |c| c.anc)
}

fn is_open(state: &State, at: Place) -> bool {
    let closed: Vec<(Role, i64)> = state
        .sides
        .iter()
        .flat_map(|s| s.records.iter().flat_map(|r| r.closes.iter().copied()))
        .collect();
    state.sides.iter().any(|s| {
        s.open
            .values()
            .any(|c| place(c.unit.unit, &c.unit.key) == at && !closed.contains(&(c.home, c.id)))
    })
}

fn settled(state: &State, role: Role, at: Place) -> u64 {
    state
        .sides
        .iter()
        .flat_map(|s| &s.settled)
        .filter(|s| s.role == role && s.units.iter().any(|u| place(u.unit, &u.key) == at))
        .map(|s| s.seq)
        .max()
        .unwrap_or(0)
}

/// What the row was before the first change that is still to be read.
fn first_image(state: &State, role: Role, at: Place) -> Option<Option<Row>> {
    let read = state.sides[role.other().index()].checkpoint.unwrap_or(0);
    let settled = settled(state, role, at);
    let mut log = state.sides[role.index()].log.iter();
    let first = log.find(|e| e.place == at && e.seq > read.max(settled))?;
    Some(first.before.clone())
}

/// Whether the copy has taken the change into account, or will.
fn covered(target: &Side, e: &Entry) -> bool {
    target
        .chunks
        .iter()
        .filter(|m| m.table == e.place.0)
        .find(|m| {
            m.upper
                .as_ref()
                .is_none_or(|k| place(m.table, k).1 >= e.place.1)
        })
        .is_none_or(|m| e.seq <= m.seq)
}

impl Ghost {
    fn bad(&mut self, what: String) {
        self.violations.push(what);
    }

    /// A batch of the normal path is about to change `role`'s rows.
    pub(crate) fn applied(
        state: &mut State,
        role: Role,
        engine: usize,
        batch: &ApplyBatch,
        outcomes: &[Outcome],
    ) {
        let (t, d) = (role.index(), role.other().index());
        let of = |at: Place| {
            batch
                .changes
                .iter()
                .position(|c| place(c.unit.unit, &c.unit.key) == at)
        };
        if let Some(mark) = &batch.chunk {
            let chunks = state.ghost.chunks.entry(engine).or_default();
            for (at, seen, row) in chunks.pop_front().unwrap_or_default() {
                let ra = anc(&state.sides[t], at);
                let over = mark.over_rows && state.sides[t].row(at).is_some();
                match of(at).map(|i| &outcomes[i]) {
                    Some(outcome @ (Outcome::Written | Outcome::Equal)) => {
                        let is_lost = over
                            && *outcome == Outcome::Written
                            && ra & !seen != 0
                            && first_image(state, role, at) != Some(state.sides[t].row(at));
                        if is_lost {
                            state.ghost.bad(format!("2 a copied row overwrote {at:?}"));
                        }
                        let end = state.sides[t].end;
                        alias(&mut state.sides[t], at, end + 1, seen);
                        alias(&mut state.sides[d], at, mark.seq, ra);
                    }
                    Some(Outcome::Suspect { .. }) => {
                        if ra & !seen == 0 && !over {
                            state.ghost.bad(format!("4 copied row {at:?} is a suspect"));
                        }
                    }
                    Some(Outcome::Blocked { .. }) => {}
                    None if is_open(state, at) => {}
                    // The feed tells what became of it.
                    None if (over || state.prefilled) && row.is_none() => {
                        let is_still = first_image(state, role, at).is_none();
                        if is_still && state.sides[t].row(at).is_none() {
                            let end = state.sides[t].end;
                            alias(&mut state.sides[t], at, end + 1, seen);
                        }
                    }
                    None if over => {
                        let began = first_image(state, role, at);
                        if seen & !ra != 0 && began != Some(row) {
                            state
                                .ghost
                                .bad(format!("2 a copied row {at:?} was left out"));
                        }
                        alias(&mut state.sides[t], at, 0, seen);
                    }
                    None => {
                        if mark.rows > 0 && state.sides[d].row(at).is_some() {
                            // Written since the chunk was read: carried later.
                        }
                        let from = state.sides[t].checkpoint.unwrap_or(0);
                        let from = state.sides[d].checkpoint.map_or(from, |c| c + 1);
                        alias(&mut state.sides[t], at, from, seen);
                    }
                }
            }
            return;
        }
        let mut keys: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
        for (i, e) in state.sides[d].log.iter().enumerate() {
            if e.seq > batch.from && e.seq <= batch.to {
                keys.entry(e.place).or_default().push(i);
            }
        }
        for (at, entries) in keys {
            let seen = settled(state, role.other(), at);
            let log = &state.sides[d].log;
            let (mut entries, hidden): (Vec<&Entry>, Vec<&Entry>) = entries
                .into_iter()
                .map(|i| &log[i])
                .filter(|e| e.seq > seen)
                .partition(|e| role == Role::Source || !covered(&state.sides[t], e));
            // Over rows, a copy leaves deletes to the feed, and what a row was before is from before
            // what it covers.
            let over = role == Role::Target
                && (state.prefilled || state.sides[t].copied_over.contains(&at.0));
            let is_gone = |i: usize| batch.changes[i].after.is_none();
            if over && entries.is_empty() && of(at).is_some_and(is_gone) {
                entries = hidden;
            } else if over
                && entries.is_empty()
                && let Some(anc) = hidden.last().map(|e| e.anc)
                && state.sides.iter().all(|s| s.row(at).is_none())
            {
                // Nothing came of what was nothing before.
                let end = state.sides[t].end;
                alias(&mut state.sides[t], at, end + 1, anc);
                continue;
            }
            let before: Vec<&Option<Row>> = log
                .iter()
                .filter(|e| over && e.place == at && e.seq > seen && covered(&state.sides[t], e))
                .map(|e| &e.before)
                .collect();
            let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
                if let Some(i) = of(at) {
                    let what =
                        format!("5 settled change of {at:?} carried: {:?}", batch.changes[i]);
                    state.ghost.bad(what);
                }
                continue;
            };
            if is_open(state, at) {
                if of(at).is_some() {
                    state
                        .ghost
                        .bad(format!("2 change of open key {at:?} carried"));
                }
                continue;
            }
            let bits = entries.iter().fold(0, |b, e| b | e.bit);
            let (from, upto) = (last.seq, last.anc);
            let nothing = first.before == last.after || before.contains(&&last.after);
            let fits = of(at).is_some_and(|i| {
                let expect = &batch.changes[i].expect;
                (*expect == first.before || before.contains(&expect))
                    && batch.changes[i].after == last.after
            });
            let ra = anc(&state.sides[t], at);
            let m = ra | upto;
            match of(at).map(|i| &outcomes[i]) {
                None if nothing => {
                    let cp = state.sides[d].checkpoint.unwrap_or(0);
                    alias(&mut state.sides[t], at, cp + 1, upto);
                }
                None => state.ghost.bad(format!("2 change of {at:?} dropped")),
                Some(_) if !fits => {
                    state.ghost.bad(format!("2 change of {at:?} carried wrong"));
                }
                Some(Outcome::Written) => {
                    if bits & ra == bits {
                        state.ghost.bad(format!("5 change of {at:?} applied twice"));
                    }
                    let end = state.sides[t].end;
                    alias(&mut state.sides[t], at, end + 1, m);
                    alias(&mut state.sides[d], at, from, m);
                }
                Some(Outcome::Equal) => {
                    let end = state.sides[t].end;
                    alias(&mut state.sides[t], at, end + 1, m);
                    alias(&mut state.sides[d], at, from, m);
                }
                Some(Outcome::Suspect { .. }) => {
                    state.ghost.suspects += 1;
                    if ra & !upto == 0 {
                        let what = format!("4 ordinary change of {at:?} is a suspect");
                        state.ghost.bad(what);
                    }
                }
                Some(Outcome::Blocked { .. }) => {}
            }
        }
    }

    /// A transaction of the conflict path is about to commit at `role`.
    pub(crate) fn decided(
        state: &mut State,
        role: Role,
        pending: &BTreeMap<Place, Option<Row>>,
        notes: &Notes,
    ) {
        let y = role.index();
        for r in &notes.records {
            let at = place(r.unit.unit, &r.unit.key);
            let own = anc(&state.sides[y], at);
            if let Some(&m) = state.ghost.records.get(&r.id) {
                if r.outcome != "superseded" {
                    let x = r.first.index();
                    alias(&mut state.sides[y], at, r.positions[y], m);
                    alias(&mut state.sides[x], at, r.positions[x] + 1, own);
                }
                continue;
            }
            let cells =
                [0, 1].map(|s: usize| state.ghost.locked[s].get(&at).cloned().unwrap_or_default());
            let both = [cells[0].anc, cells[1].anc];
            let m = both[0] | both[1];
            let rows = [cells[0].row.clone(), cells[1].row.clone()];
            if rows != r.seen {
                let what = format!("2 decided on rows of {at:?} that are not there: {r:?}");
                state.ghost.bad(what);
            }
            if r.result[0] != r.result[1] {
                state
                    .ghost
                    .bad(format!("1 result of {at:?} differs: {r:?}"));
            }
            if r.rule == "person" && !state.ghost.looks.contains(&r.seen) {
                state.ghost.bad(format!(
                    "2 an answer overwrote rows of {at:?} that nobody saw"
                ));
            }
            let asked = !r.rule.is_empty() && r.rule != "person" && r.outcome != "beside";
            if r.rule == "person" {
                state.ghost.by_person += 1;
            }
            if asked {
                state.ghost.by_rule += 1;
                if both[0] & !both[1] == 0 || both[1] & !both[0] == 0 {
                    let what = format!("4 rule asked about {at:?} though one row saw the other");
                    state.ghost.bad(what);
                }
            }
            if r.outcome == "both" {
                let loser = r
                    .seen
                    .iter()
                    .flatten()
                    .find(|s| Some(*s) != r.result[0].as_ref());
                let lives = loser.is_none_or(|l| {
                    pending.iter().any(|(p, row)| {
                        *p != at && row.as_ref().is_some_and(|row| row[1..] == l[1..])
                    })
                });
                if !lives {
                    state.ghost.bad(format!("2 keep-both lost a row of {at:?}"));
                }
            }
            let versions = [cells[0].version, cells[1].version];
            let again = state
                .ghost
                .decided
                .iter()
                .find(|d| d.0 == at && d.1 == versions && d.2 != r.result);
            if again.is_some() {
                state.ghost.bad(format!("6 {at:?} decided twice"));
            }
            state.ghost.decided.push((at, versions, r.result.clone()));
            if r.two {
                state.ghost.records.insert(r.id, m);
                alias(&mut state.sides[y], at, r.positions[y], m);
            } else {
                for s in 0..2 {
                    alias(&mut state.sides[s], at, r.positions[s], m);
                }
            }
        }
        for id in &notes.close {
            let Some(conflict) = state.sides[y].open.get(id) else {
                continue;
            };
            let at = place(conflict.unit.unit, &conflict.unit.key);
            let this = (role, *id);
            let recorded = notes.records.iter().any(|r| r.closes.contains(&this))
                || state
                    .sides
                    .iter()
                    .any(|s| s.records.iter().any(|r| r.closes.contains(&this)));
            if recorded {
                continue;
            }
            let cells =
                [0, 1].map(|s: usize| state.ghost.locked[s].get(&at).cloned().unwrap_or_default());
            if cells[0].row != cells[1].row {
                let what = format!("1 conflict of {at:?} closed before its decision was written");
                state.ghost.bad(what);
                continue;
            }
            let m = cells[0].anc | cells[1].anc;
            for s in Role::BOTH {
                let from = notes
                    .settled
                    .iter()
                    .find(|x| x.role == s)
                    .map_or(u64::MAX, |x| x.seq);
                alias(&mut state.sides[s.index()], at, from, m);
            }
        }
    }

    /// Nothing moves any more: both sides are equal and take every write into account.
    pub(crate) fn at_rest(state: &mut State) {
        let mut places: Vec<Place> = Vec::new();
        for side in &state.sides {
            places.extend(side.cells.keys());
            places.extend(side.log.iter().map(|e| e.place));
        }
        places.sort_unstable();
        places.dedup();
        for at in places {
            let rows = [0, 1].map(|s: usize| state.sides[s].row(at));
            if rows[0] != rows[1] {
                let what = format!("1 diverged at {at:?}: {:?} and {:?}", rows[0], rows[1]);
                state.ghost.bad(what);
            }
            let need = state
                .sides
                .iter()
                .flat_map(|s| &s.log)
                .filter(|e| e.place == at)
                .fold(0, |b, e| b | e.bit);
            for s in 0..2 {
                let missing = need & !anc(&state.sides[s], at);
                if missing != 0 {
                    state.ghost.bad(format!(
                        "2 write lost at {at:?}, side {s}: bits {missing:b}"
                    ));
                }
            }
        }
    }
}

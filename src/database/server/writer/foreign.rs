//! Foreign keys, looked at after the writes: the server does not, or not yet.

use std::collections::BTreeMap;

use crate::data::Row;
use crate::database::server::driver::Tx;
use crate::database::{Outcome, RowChange};
use crate::error::Result;
use crate::rule::ConflictKind;

use super::Writer;

impl<T: Tx> Writer<'_, T> {
    /// Of what was written: rows without parents, and parents that went while others refer to them.
    pub(super) async fn orphans(
        &mut self,
        changes: &[RowChange],
        outcomes: &[Outcome],
    ) -> Result<BTreeMap<usize, Outcome>> {
        let mut written: BTreeMap<usize, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
        for (i, (change, outcome)) in changes.iter().zip(outcomes).enumerate() {
            if *outcome == Outcome::Written {
                let (there, gone) = written.entry(change.table).or_default();
                if change.after.is_some() {
                    there.push(i);
                }
                // An update may take away what others refer to, too.
                if change.expect.is_some() {
                    gone.push(i);
                }
            }
        }
        let mut found = BTreeMap::new();
        for (index, (there, gone)) in written {
            let table = &self.tables[index];
            let rows: Vec<&Row> = there
                .iter()
                .filter_map(|&i| changes[i].after.as_ref())
                .collect();
            if !rows.is_empty() {
                for (n, reason) in self.tx.missing_parents(table, &rows).await? {
                    found.insert(there[n], blocked(ConflictKind::FkParentMissing, reason));
                }
            }
            let rows: Vec<&Row> = gone
                .iter()
                .filter_map(|&i| changes[i].expect.as_ref())
                .collect();
            if !rows.is_empty() {
                for (n, reason) in self.tx.children(table, &rows).await? {
                    found.insert(gone[n], blocked(ConflictKind::FkChildExists, reason));
                }
            }
        }
        Ok(found)
    }
}

fn blocked(kind: ConflictKind, reason: String) -> Outcome {
    Outcome::Blocked { kind, reason }
}

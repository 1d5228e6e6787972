//! What is done with a migration's store beside the engine: installing, ending, looking.

use std::collections::BTreeMap;

use crate::data::Position;
use crate::database::server::added::missed;
use crate::database::server::driver::{Driver, Tx};
use crate::database::server::journal::Captured;
use crate::database::{
    ChunkMark, DecisionRecord, Findings, Lag, MappedAs, OpenConflict, Outcome, Resolution,
    RowChange, SyncTable,
};
use crate::error::{Error, ErrorKind, Result};

use super::{LOST, MaybeLog, PATIENCE_OF_STARTS_MS, ServerSync};

impl<D: Driver> ServerSync<D> {
    /// The tables that take part.
    pub(in crate::database) fn tables(&self) -> &[SyncTable] {
        &self.shared.options.tables
    }

    async fn begin(&self) -> Result<D::Tx> {
        self.shared.driver.begin(PATIENCE_OF_STARTS_MS).await
    }

    async fn look(&self) -> Result<D::Tx> {
        self.shared.driver.begin_read().await
    }

    /// Installs capture and Banyan's own tables. Idempotent; interrupted, it is finished by
    /// repeating it.
    pub(in crate::database) async fn install(&self) -> Result<Position> {
        self.at_store(self.install_inside().await)
    }

    async fn install_inside(&self) -> Result<Position> {
        let shared = &self.shared;
        let is_new = self.log().await?.is_none();
        if is_new {
            self.refuse_problems().await?;
        }
        shared.driver.prepare().await?;
        let mut tx = self.begin().await?;
        shared.journal.create(&shared.driver, &mut tx).await?;
        tx.commit().await?;
        let begin = if shared.options.followed {
            let begin = shared.driver.install_capture(&shared.options).await;
            shared.keep_loss(begin).await?
        } else {
            shared.driver.install_mark(&shared.options).await?;
            0
        };
        let mut tx = self.begin().await?;
        let names: Vec<String> = shared
            .options
            .tables
            .iter()
            .map(|t| t.schema.name.clone())
            .collect();
        shared
            .journal
            .add_captured(&mut tx, &names, !is_new)
            .await?;
        let log = shared.journal.begin_log(&mut tx, begin).await?;
        tx.commit().await?;
        Ok(Position { log, seq: begin })
    }

    /// What would keep the migration from running here, and what one should know.
    pub(in crate::database) async fn look_over(&self) -> Result<Findings> {
        let shared = &self.shared;
        self.at_store(shared.driver.look_over(&shared.options).await)
    }

    async fn refuse_problems(&self) -> Result<()> {
        let shared = &self.shared;
        let found = shared.driver.look_over(&shared.options).await?;
        let Some((first, _)) = found.problems.first() else {
            return Ok(());
        };
        let what = match found.problems.len() {
            1 => first.clone(),
            n => {
                let lines = found.problems.iter().map(|(what, _)| format!("  {what}"));
                format!("{n} problems:\n{}", lines.collect::<Vec<_>>().join("\n"))
            }
        };
        let error = Error::new(ErrorKind::Store, what);
        Err(found
            .problems
            .into_iter()
            .fold(error, |error, (_, cure)| error.hint(cure)))
    }

    async fn log(&self) -> Result<MaybeLog> {
        let mut tx = self.look().await?;
        match self.shared.journal.log(&mut tx).await {
            Ok(row) => {
                tx.commit().await?;
                Ok(Some(row.id))
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// How far a reader at `read` is behind. Of a log that is not read it cannot be told how many
    /// changes it holds, only that there are none.
    pub(in crate::database) async fn lag(&self, read: u64) -> Result<Lag> {
        let end = self.at_store(self.shared.driver.end().await)?;
        if read >= end {
            return Ok(Lag::default());
        }
        Err(Error::new(
            ErrorKind::Refused,
            "how many changes a server's log still holds is unknown",
        ))
    }

    /// Whether capture is installed.
    pub(in crate::database) async fn is_installed(&self) -> Result<bool> {
        Ok(self.at_store(self.log().await)?.is_some())
    }

    /// How far the other side's log is applied here; `None` when nothing is.
    pub(in crate::database) async fn checkpoint(&self) -> Result<Option<Position>> {
        if !self.is_installed().await? {
            return Ok(None);
        }
        let done = async {
            let mut tx = self.look().await?;
            let checkpoint = self.shared.journal.checkpoint(&mut tx).await?;
            tx.commit().await?;
            Ok(checkpoint)
        };
        self.at_store(done.await)
    }

    /// Where this store's log stands: what committed before this call is at or before it.
    pub(in crate::database) async fn log_end(&self) -> Result<u64> {
        self.at_store(self.shared.driver.end().await)
    }

    /// Tables of which changes may have been missed, and why.
    pub(in crate::database) async fn gaps(&self) -> Result<Vec<(String, String)>> {
        let captured = self.captured().await?.into_iter();
        Ok(captured
            .filter_map(|t| t.gap.map(|why| (t.name, why)))
            .collect())
    }

    async fn captured(&self) -> Result<Vec<Captured>> {
        let done = async {
            let mut tx = self.look().await?;
            let captured = self.shared.journal.captured(&mut tx).await?;
            tx.commit().await?;
            Ok(captured)
        };
        self.at_store(done.await)
    }

    /// Whether the log has lost something, so that it is to be begun anew; see [`Self::renew`].
    pub(in crate::database) async fn is_lost(&self) -> Result<bool> {
        let gaps = self.gaps().await?;
        Ok(gaps.iter().any(|(_, why)| why.starts_with(LOST)))
    }

    /// Begins a new log, when the other side has forgotten the old one ([`Self::forget_other`]).
    pub(in crate::database) async fn renew(&self) -> Result<()> {
        let shared = &self.shared;
        let done = async {
            let begin = shared.driver.renew_capture(&shared.options).await?;
            let mut tx = self.begin().await?;
            shared.journal.renew_log(&mut tx, begin).await?;
            tx.commit().await
        };
        self.at_store(done.await)
    }

    /// Forgets how far the other side's log is applied here.
    pub(in crate::database) async fn forget_other(&self) -> Result<()> {
        let done = async {
            let mut tx = self.begin().await?;
            self.shared.journal.forget_other(&mut tx).await?;
            tx.commit().await
        };
        self.at_store(done.await)
    }

    /// Lets the tables go on of which changes were missed; all their rows are to be looked at again.
    pub(in crate::database) async fn resume(&self) -> Result<()> {
        let done = async {
            let mut tx = self.begin().await?;
            self.shared.journal.resume(&mut tx).await?;
            tx.commit().await
        };
        self.at_store(done.await)
    }

    /// Whether changes are read from the server's log.
    pub(in crate::database) fn has_log(&self) -> bool {
        self.shared.driver.has_log()
    }

    /// Whether [`Self::widened`] would let one of these tables go on.
    pub(in crate::database) async fn wait_for_columns(&self, tables: &[String]) -> Result<bool> {
        let gaps = self.gaps().await?;
        let waits = |(name, why): &(String, String)| tables.contains(name) && missed(why).is_some();
        Ok(gaps.iter().any(waits))
    }

    /// Lets those of these tables go on that waited for nothing but new columns, which both sides have by
    /// now. Where changes may have been missed, their rows are looked at again.
    pub(in crate::database) async fn widened(&self, tables: Vec<String>) -> Result<()> {
        let done = async {
            let mut tx = self.begin().await?;
            self.shared.journal.widened(&mut tx, &tables).await?;
            tx.commit().await
        };
        self.at_store(done.await)
    }

    /// The source's tables all of whose rows are to be looked at again.
    pub(in crate::database) async fn recopies(&self) -> Result<Vec<String>> {
        let captured = self.captured().await?;
        let options = &self.shared.options;
        Ok(options
            .tables
            .iter()
            .zip(&options.origins)
            .filter(|(table, _)| {
                captured
                    .iter()
                    .any(|c| c.name == table.schema.name && c.recopy && c.gap.is_none())
            })
            .map(|(_, origin)| origin.clone())
            .collect())
    }

    /// Lets the next start copy these tables of the source once more. For the target's store.
    pub(in crate::database) async fn forget_copies(&self, sources: Vec<String>) -> Result<()> {
        let done = async {
            let mut tx = self.begin().await?;
            for table in &sources {
                self.shared.journal.forget_copy(&mut tx, table).await?;
            }
            tx.commit().await
        };
        self.at_store(done.await)
    }

    /// All rows are being looked at again: [`Self::forget_copies`] was done.
    pub(in crate::database) async fn recopies_begun(&self) -> Result<()> {
        let done = async {
            let mut tx = self.begin().await?;
            self.shared.journal.recopies_begun(&mut tx).await?;
            tx.commit().await
        };
        self.at_store(done.await)
    }

    /// Removes everything that Banyan added for this migration.
    pub(in crate::database) async fn uninstall(&self) -> Result<()> {
        self.at_store(self.shared.driver.uninstall().await)
    }

    /// How far the tables are copied to here.
    pub(in crate::database) async fn chunks(&self) -> Result<Vec<ChunkMark>> {
        let done = async {
            let mut tx = self.look().await?;
            let chunks = self.shared.journal.chunks(&mut tx, false).await?.concat();
            tx.commit().await?;
            Ok(chunks)
        };
        self.at_store(done.await)
    }

    /// All decision records kept here, oldest first.
    pub(in crate::database) async fn records(&self) -> Result<Vec<DecisionRecord>> {
        let done = async {
            let mut tx = self.look().await?;
            let records = self.shared.journal.records(&mut tx, false).await?;
            tx.commit().await?;
            Ok(records)
        };
        self.at_store(done.await)
    }

    /// Open conflicts kept here; only those that a person answered, or all.
    pub(in crate::database) async fn conflicts(
        &self,
        answered_only: bool,
    ) -> Result<Vec<OpenConflict>> {
        let journal = &self.shared.journal;
        let done = async {
            let mut tx = self.look().await?;
            let open = journal.open_conflicts(&mut tx, answered_only).await?;
            tx.commit().await?;
            Ok(open)
        };
        self.at_store(done.await)
    }

    /// Writes a person's answer to an open conflict down; `false` when there is none of that id.
    pub(in crate::database) async fn request(
        &self,
        id: i64,
        resolution: Resolution,
        seen: [[u8; 32]; 2],
    ) -> Result<bool> {
        let journal = &self.shared.journal;
        let done = async {
            let mut tx = self.begin().await?;
            let known = journal.request(&mut tx, id, &resolution, seen).await?;
            tx.commit().await?;
            Ok(known)
        };
        self.at_store(done.await)
    }

    /// Writes down how the source's tables are mapped now; see the SQLite store's.
    pub(in crate::database) async fn remap(
        &self,
        now: BTreeMap<String, MappedAs>,
        widened: bool,
    ) -> Result<Vec<(String, Vec<String>)>> {
        let done = async {
            let mut tx = self.begin().await?;
            let again = self.shared.journal.remap(&mut tx, &now, widened).await?;
            tx.commit().await?;
            Ok(again)
        };
        self.at_store(done.await)
    }

    /// Guarded writes outside of any feed, for repairs: marked as ours, like all writes here.
    pub(in crate::database) async fn repair(
        &self,
        changes: Vec<RowChange>,
    ) -> Result<Vec<Outcome>> {
        let done = async {
            let mut tx = self.begin().await?;
            let outcomes = self.shared.writer(&mut tx, false).write(&changes).await?;
            tx.commit().await?;
            Ok(outcomes)
        };
        self.at_store(done.await)
    }
}

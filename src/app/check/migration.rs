//! What `check` says of one migration.

use crate::config::MigrationConfig;
use crate::database::sqlite::Affinity;
use crate::database::{AnyStore, Engine, Orphans, ReadStore, SyncTable};
use crate::error::Result;
use crate::lifecycle::Phase;
use crate::rule::RuleTable;
use crate::rule::mapping::How;

use crate::app::build::{Fitted, fit, open_fitted};
use crate::app::open::{Draft, draft};
use crate::app::rules::Rules;

use super::{Checked, Finding, Used, rows_without_key};

/// One migration whose stores can be reached.
pub(super) struct Migration<'a> {
    pub(super) name: &'a str,
    pub(super) config: &'a MigrationConfig,
    pub(super) path: &'a str,
    pub(super) phase: Phase,
    pub(super) source: AnyStore,
    pub(super) target: AnyStore,
}

impl Migration<'_> {
    /// Answers which tables it works on.
    pub(super) async fn check(
        &mut self,
        rules: &mut Rules<'_>,
        broken: &[&str],
        checked: &mut Checked,
    ) -> Result<Vec<Used>> {
        let drafted = draft(self.name, self.config, rules, &self.source).await?;
        for wrong in &drafted.wrong {
            // A rule that cannot be loaded is listed once, where it stands.
            if !broken.contains(&wrong.rule.as_str()) {
                checked.problem(format!("{}.{}", wrong.path, wrong.field), &wrong.error);
            }
        }
        self.check_left_out(&drafted, checked).await;
        let fitted = fit(&self.source, &self.target, &drafted.spec).await;
        for misfit in &fitted.misfits {
            let path = misfit.table.and_then(|table| drafted.paths.get(table));
            checked.problem(path.map_or(self.path, String::as_str), &misfit.error);
        }
        self.check_rule_tables(&drafted, &fitted, rules, checked);
        for (store, tables) in [
            (&self.source, &fitted.source_tables),
            (&self.target, &fitted.target_tables),
        ] {
            for error in rows_without_key(store, tables).await? {
                if self.phase.is_installed() {
                    // They wait as conflicts, and the rest goes on.
                    checked.notes.push(Finding::of(self.path, &error));
                } else {
                    checked.problem(self.path, &error);
                }
            }
        }
        self.note(&drafted, &fitted, checked).await?;
        let sides = [
            (
                &self.source,
                fitted.source_tables.clone(),
                drafted.spec.two_way,
            ),
            (&self.target, fitted.target_tables.clone(), true),
        ];
        if !self.phase.is_installed() && !fitted.mappings.is_empty() {
            let opened = open_fitted(&self.source, &self.target, &drafted.spec, fitted).await?;
            for (store, sync) in [
                (&self.source, &opened.source),
                (&self.target, &opened.target),
            ] {
                let found = sync.look_over().await?;
                let named = |what: String| format!("store {}: {what}", store.name());
                for (what, cure) in found.problems {
                    let mut finding = Finding::note(self.path, named(what), cure);
                    // The configuration is right; the server says no.
                    finding.is_outage = true;
                    checked.problems.push(finding);
                }
                for (what, cure) in found.notes {
                    checked
                        .notes
                        .push(Finding::note(self.path, named(what), cure));
                }
            }
        }
        let mut uses = Vec::new();
        for (store, tables, written) in sides {
            let (identity, place) = (store.identity(), store.place());
            uses.extend(tables.iter().map(|table| Used {
                migration: self.name.to_owned(),
                identity: identity.clone(),
                place: place.clone(),
                table: table.schema.name.clone(),
                written,
            }));
        }
        Ok(uses)
    }

    /// Of a table whose transform cannot be used, at least the names can be looked up.
    async fn check_left_out(&self, drafted: &Draft, checked: &mut Checked) {
        for table in &self.config.tables {
            if drafted.paths.contains(&table.path) {
                continue;
            }
            let targets = std::iter::once(&table.target).chain(&table.split);
            let names = std::iter::once((&self.source, &table.source))
                .chain(targets.map(|name| (&self.target, name)));
            for (store, name) in names {
                if let Err(error) = store.schema(name).await {
                    checked.problem(&table.path, &error);
                }
            }
        }
    }

    /// Opens each rule with the tables that it will be given.
    fn check_rule_tables(
        &self,
        drafted: &Draft,
        fitted: &Fitted,
        rules: &mut Rules<'_>,
        checked: &mut Checked,
    ) {
        for (mapping, &origin) in fitted.mappings.iter().zip(&fitted.origins) {
            let path = drafted.paths[origin].as_str();
            let Some(table) = self.config.tables.iter().find(|t| t.path == path) else {
                continue;
            };
            let targets: Vec<&RuleTable> = mapping.targets.iter().map(|t| &t.table).collect();
            let mut whole = vec![&mapping.source.table];
            whole.extend(&targets);
            let mut asked: Vec<(&str, &str, Vec<&RuleTable>)> = Vec::new();
            if let (How::Rule(_), Some(rule)) = (&mapping.how, &table.transform) {
                asked.push(("transform", rule, whole));
            }
            for target in targets {
                asked.extend(
                    table
                        .validate
                        .as_deref()
                        .map(|r| ("validate", r, vec![target])),
                );
                asked.push(("on_conflict", table.on_conflict.name(), vec![target]));
            }
            for (field, rule, tables) in asked {
                let usable = drafted.wrong.iter().all(|w| w.rule != rule);
                if usable
                    && rules.has(rule)
                    && let Err(error) = rules.check_tables(rule, &tables)
                {
                    checked.problem(format!("{path}.{field}"), &error);
                }
            }
        }
    }

    async fn note(&self, drafted: &Draft, fitted: &Fitted, checked: &mut Checked) -> Result<()> {
        let two_way = drafted.spec.two_way;
        let checks_keys = drafted.spec.check_foreign_keys;
        let sides = [
            (&self.source, &fitted.source_tables, two_way),
            (&self.target, &fitted.target_tables, true),
        ];
        for (store, tables, is_written) in sides {
            for table in tables {
                if is_written && store.engine() == Engine::Sqlite {
                    self.note_triggers(store, table, checked);
                }
                let is_read = std::ptr::eq(store, &self.source) || two_way;
                if checks_keys && is_read && !table.schema.foreign_keys.is_empty() {
                    self.note_orphans(store, table, checked).await?;
                }
            }
            if is_written && checks_keys {
                self.note_unindexed(store, tables, checked).await?;
            }
        }
        for (n, mapping) in fitted.mappings.iter().enumerate() {
            // Servers' columns refuse what they cannot hold, by name.
            let sqlite = [&self.source, &self.target].map(|s| s.engine() == Engine::Sqlite);
            if sqlite == [true, true]
                && matches!(mapping.how, How::Columns)
                && let Some(from) = fitted.source_tables.get(n)
                && let Some(to) = (fitted.units.iter())
                    .position(|u| u.mapping == n)
                    .and_then(|u| fitted.target_tables.get(u))
            {
                self.note_lossy(from, to, checked);
            }
        }
        if !self.phase.is_installed() {
            self.note_rows_on_target(&fitted.target_tables, two_way, checked)
                .await?;
        }
        let any_sqlite = [&self.source, &self.target]
            .iter()
            .any(|s| s.engine() == Engine::Sqlite);
        if checked.verbose && !fitted.mappings.is_empty() && any_sqlite {
            checked.notes.push(Finding::note(
                self.path,
                "while the migration runs, SQLite refuses ALTER TABLE … DROP COLUMN for the \
                 columns that are synced: Banyan's triggers name them",
                "leave such changes until the migration is completed or aborted; adding columns \
                 and tables works",
            ));
        }
        Ok(())
    }

    /// Columns that hold some values of their counterparts in another form, for good.
    fn note_lossy(&self, from: &SyncTable, to: &SyncTable, checked: &mut Checked) {
        for (&s, &t) in from.columns.iter().zip(&to.columns) {
            let column = |table: &SyncTable, i: usize| {
                let c = &table.schema.columns[i];
                let affinity = Affinity::of_column(table.schema.strict, &c.declared_type);
                let declared = match c.declared_type.as_str() {
                    "" => "no type".to_owned(),
                    declared => declared.to_owned(),
                };
                let name = format!("column {} of table {}", c.name, table.schema.name);
                (affinity, name, declared)
            };
            let (source, target) = (column(from, s), column(to, t));
            if !source.0.may_lose_in(target.0) {
                continue;
            }
            checked.notes.push(Finding::note(
                self.path,
                format!(
                    "the source's {} ({}) is {} ({}) in the target, which changes some values for \
                     good (text that looks like a number, large numbers); rows with such a value \
                     are not carried, and wait as conflicts",
                    source.1, source.2, target.1, target.2
                ),
                "give both columns the same type, or use a transform that says what is meant",
            ));
        }
    }

    fn note_triggers(&self, store: &AnyStore, table: &SyncTable, checked: &mut Checked) {
        let triggers = &table.schema.triggers;
        if triggers.is_empty() {
            return;
        }
        checked.notes.push(Finding::note(
            self.path,
            format!(
                "store {}: table {} has triggers of yours ({}); they do not fire for the rows \
                 that Banyan writes",
                store.name(),
                table.schema.name,
                triggers.join(", ")
            ),
            "what a trigger writes on one side arrives on the other as rows if its tables are \
             synced, too; otherwise it is missing there",
        ));
    }

    async fn note_orphans(
        &self,
        store: &AnyStore,
        table: &SyncTable,
        checked: &mut Checked,
    ) -> Result<()> {
        let name = &table.schema.name;
        let found = match store.orphans(name).await {
            Ok(Orphans::Found(0, _)) => return Ok(()),
            Ok(Orphans::Found(count, parents)) => {
                let parents = parents.join(", ");
                let (references, lead) = match count {
                    1 => ("reference", "leads"),
                    _ => ("references", "lead"),
                };
                format!(
                    "store {}: {count} {references} of table {name} {lead} to no row of {parents}; \
                     with foreign_keys = \"check\" such rows wait for their parents",
                    store.name()
                )
            }
            Ok(Orphans::Unknown) => format!(
                "store {}: table {name} is too large to look for rows without parents here; with \
                 foreign_keys = \"check\" such rows wait for their parents",
                store.name()
            ),
            Err(error) => format!("{error}; it cannot be told which rows lack their parents"),
        };
        checked.notes.push(Finding::note(
            self.path,
            found,
            format!(
                "PRAGMA foreign_key_check({name}) lists them; mend them, or set foreign_keys = \
                 \"ignore\" in [{}]",
                self.path
            ),
        ));
        Ok(())
    }

    async fn note_unindexed(
        &self,
        store: &AnyStore,
        tables: &[SyncTable],
        checked: &mut Checked,
    ) -> Result<()> {
        let parents: Vec<&str> = tables.iter().map(|t| t.schema.name.as_str()).collect();
        for (table, columns) in store.unindexed_children(&parents).await? {
            let columns = columns.join(", ");
            checked.notes.push(Finding::note(
                self.path,
                format!(
                    "store {}: table {table} has a foreign key on ({columns}) and no index there: \
                     each deleted parent reads the whole table",
                    store.name()
                ),
                format!(
                    "CREATE INDEX {table}_{} ON {table} ({columns})",
                    columns.replace(", ", "_")
                ),
            ));
        }
        Ok(())
    }

    async fn note_rows_on_target(
        &self,
        tables: &[SyncTable],
        two_way: bool,
        checked: &mut Checked,
    ) -> Result<()> {
        let only_there = if two_way {
            "is carried to the source"
        } else {
            "stays there"
        };
        for table in tables {
            let name = &table.schema.name;
            let (rows, more) = self.target.count_some(name).await?;
            if rows == 0 {
                continue;
            }
            let rows = match (rows, more) {
                (_, true) => format!("{rows} rows or more"),
                (1, _) => "1 row".to_owned(),
                _ => format!("{rows} rows"),
            };
            checked.notes.push(Finding::note(
                self.path,
                format!(
                    "store {}: table {name} holds {rows} before the start: where the source has \
                     another row of the same key, that is a conflict; what only the target has \
                     {only_there}",
                    self.target.name()
                ),
                format!(
                    "empty it first, or compare both: banyan verify {}",
                    self.name
                ),
            ));
        }
        Ok(())
    }
}

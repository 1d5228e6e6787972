//! What the demo showed, for people and as data.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use crate::cli::Printer;
use crate::error::Result;

use super::latency::Latency;
use super::side::Side;
use super::traffic::Written;

/// Everything that was counted and measured.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Whether both sides are equal and nothing waits.
    pub(super) ok: bool,
    /// The folder.
    pub(super) folder: String,
    pub(super) copy: Copied,
    pub(super) writers: Writers,
    /// Rows that Banyan wrote for changes of the other side, since the restart: what the killed
    /// process had counted died with it.
    pub(super) applied_since_restart: Applied,
    pub(super) conflicts: Conflicts,
    pub(super) kill: Kill,
    pub(super) latency: Latencies,
    /// `banyan verify --level full`, as it is.
    pub(super) verify: Json,
    /// The whole demo.
    pub(super) seconds: f64,
}

/// The first copy, while both sides were written.
#[derive(Debug, Serialize)]
pub(super) struct Copied {
    pub(super) tables: usize,
    pub(super) rows: i64,
    pub(super) seconds: f64,
    pub(super) rows_per_s: f64,
}

/// What the applications did.
#[derive(Debug, Serialize)]
pub(super) struct Writers {
    pub(super) monolith: Written,
    pub(super) service: Written,
    /// How long both sides were written after the copy, and how much each second.
    pub(super) seconds: f64,
    pub(super) changes_per_s: f64,
    /// Clashes made on purpose, by kind.
    pub(super) clashes: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Applied {
    pub(super) to_service: u64,
    pub(super) to_monolith: u64,
}

/// What was decided, and what waits.
#[derive(Debug, Serialize)]
pub(super) struct Conflicts {
    pub(super) decided: u64,
    pub(super) waiting: u64,
    pub(super) groups: Vec<Group>,
}

/// Decisions of one rule about one kind of conflict in one table.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Group {
    pub(super) table: String,
    pub(super) kind: String,
    pub(super) rule: String,
    /// How often which row lived: `source`, `target`, `merged`, `both`, `delete`.
    pub(super) outcomes: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Kill {
    /// Between the kill and the restart.
    pub(super) down_ms: f64,
    /// From the restart until both directions had caught up.
    pub(super) caught_up_ms: Option<f64>,
}

/// Measured while the sync followed both sides and had nothing to catch up on.
#[derive(Debug, Serialize)]
pub(super) struct Latencies {
    pub(super) all: Option<Latency>,
    pub(super) to_service: Option<Latency>,
    pub(super) to_monolith: Option<Latency>,
    /// Samples outside of that: during the copy, around the kill.
    pub(super) left_out: usize,
    /// Writes looked for and never seen.
    pub(super) unseen: usize,
}

impl Conflicts {
    /// From the output of `conflict list`.
    pub(super) fn of(list: &Json) -> Self {
        let text = |conflict: &Json, field: &str| {
            conflict
                .get(field)
                .and_then(Json::as_str)
                .unwrap_or("")
                .to_owned()
        };
        let mut groups: BTreeMap<(String, String, String), BTreeMap<String, u64>> = BTreeMap::new();
        let (mut decided, mut waiting) = (0, 0);
        for conflict in list.as_array().into_iter().flatten() {
            let outcome = text(conflict, "outcome");
            match outcome.as_str() {
                "open" | "waiting" | "parked" => waiting += 1,
                // The second row of a decision that is counted already.
                "beside" => continue,
                _ => decided += 1,
            }
            let group = (
                text(conflict, "table"),
                text(conflict, "kind"),
                text(conflict, "rule"),
            );
            *groups.entry(group).or_default().entry(outcome).or_insert(0) += 1;
        }
        Self {
            decided,
            waiting,
            groups: groups
                .into_iter()
                .map(|((table, kind, rule), outcomes)| Group {
                    table,
                    kind,
                    rule,
                    outcomes,
                })
                .collect(),
        }
    }
}

/// `1234567` → `1,234,567`.
pub(super) fn grouped(number: impl Into<i128>) -> String {
    let digits = number.into().to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Summary {
    /// For people.
    pub(super) fn print(&self, printer: &mut Printer<'_>) -> Result<()> {
        let writers = &self.writers;
        printer.line(format!(
            "Copied     {} rows of {} tables in {:.1} s ({} rows/s), while both sides were written",
            grouped(self.copy.rows),
            self.copy.tables,
            self.copy.seconds,
            grouped(self.copy.rows_per_s as i64),
        ))?;
        printer.line(format!(
            "Written    by the applications: {} changes in the monolith, {} in the service ({}/s after the copy)",
            grouped(writers.monolith.changes),
            grouped(writers.service.changes),
            grouped(writers.changes_per_s.round() as i64),
        ))?;
        printer.line(format!(
            "Applied    {} rows to the service, {} to the monolith since the restart",
            grouped(self.applied_since_restart.to_service),
            grouped(self.applied_since_restart.to_monolith),
        ))?;
        let caught_up = self.kill.caught_up_ms.map_or_else(
            || "it was not seen to catch up".to_owned(),
            |ms| format!("caught up {ms:.0} ms after the restart"),
        );
        printer.line(format!(
            "Killed     with SIGKILL, {:.0} ms down, {caught_up}",
            self.kill.down_ms
        ))?;
        self.latency(printer)?;
        self.conflicts(printer)?;
        self.verified(printer)
    }

    fn latency(&self, printer: &mut Printer<'_>) -> Result<()> {
        let show = |latency: &Option<Latency>| match latency {
            Some(l) => format!(
                "p50 {:>5.1}  p95 {:>5.1}  p99 {:>5.1}  max {:>5.1} ms  ({} samples)",
                l.p50_ms,
                l.p95_ms,
                l.p99_ms,
                l.max_ms,
                grouped(l.samples as i128)
            ),
            None => "no samples".to_owned(),
        };
        let latency = &self.latency;
        printer
            .line("Latency    from the writer's commit until the other side's readers see it")?;
        printer.line(format!(
            "           to the service   {}",
            show(&latency.to_service)
        ))?;
        printer.line(format!(
            "           to the monolith  {}",
            show(&latency.to_monolith)
        ))?;
        if latency.unseen > 0 {
            printer.line(format!(
                "           {} writes were never seen",
                latency.unseen
            ))?;
        }
        Ok(())
    }

    fn conflicts(&self, printer: &mut Printer<'_>) -> Result<()> {
        let conflicts = &self.conflicts;
        let made: u64 = self.writers.clashes.values().sum();
        printer.line(format!(
            "Conflicts  {} decided, {} waiting; {} clashes of {} kinds were made on purpose",
            grouped(conflicts.decided),
            grouped(conflicts.waiting),
            grouped(made),
            self.writers.clashes.len(),
        ))?;
        let width = |column: fn(&Group) -> &str| {
            conflicts
                .groups
                .iter()
                .map(|g| column(g).chars().count())
                .max()
                .unwrap_or(0)
        };
        let (table, kind, rule) = (width(|g| &g.table), width(|g| &g.kind), width(|g| &g.rule));
        for g in &conflicts.groups {
            let outcomes: Vec<String> = g
                .outcomes
                .iter()
                .map(|(outcome, n)| format!("{n} {outcome}"))
                .collect();
            printer.line(format!(
                "           {:table$}  {:kind$}  {:rule$}  {}",
                g.table,
                g.kind,
                g.rule,
                outcomes.join(", ")
            ))?;
        }
        Ok(())
    }

    fn verified(&self, printer: &mut Printer<'_>) -> Result<()> {
        let number =
            |table: &Json, field: &str| table.get(field).and_then(Json::as_i64).unwrap_or(0);
        let tables = self.verify.get("tables").and_then(Json::as_array);
        let tables = tables.map_or(&[][..], Vec::as_slice);
        let seconds = self
            .verify
            .get("seconds")
            .and_then(Json::as_f64)
            .unwrap_or(0.0);
        printer.line(format!(
            "Verified   every row and column of both sides, in {seconds:.1} s"
        ))?;
        for table in tables {
            let name = table.get("table").and_then(Json::as_str).unwrap_or("?");
            let wrong: i64 = ["missing_on_target", "extra_on_target", "differs"]
                .into_iter()
                .map(|field| number(table, field))
                .sum();
            printer.line(format!(
                "           {name:16}  {:>9} rows  {}",
                grouped(number(table, "rows_target")),
                if wrong == 0 {
                    "equal".to_owned()
                } else {
                    format!("{wrong} DIFFERENT")
                },
            ))?;
        }
        printer.line("")?;
        printer.line(if self.ok {
            format!("0 differences. Took {:.0} s.", self.seconds)
        } else {
            format!("NOT EQUAL, or something waits. Took {:.0} s.", self.seconds)
        })
    }
}

/// Rows applied, from the output of `sync`.
pub(super) fn applied(reports: &[&Json], side: Side) -> u64 {
    let field = side.choose("applied_to_source", "applied_to_target");
    let tables = reports
        .iter()
        .filter_map(|r| r.get("tables")?.as_array())
        .flatten();
    tables.filter_map(|t| t.get(field)?.as_u64()).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let shown: Vec<String> = [0, 999, 1_000, 1_234_567, -1_000]
            .into_iter()
            .map(|n: i64| grouped(n))
            .collect();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567", "-1,000"]);
    }

    #[test]
    fn conflicts_are_counted_by_table_kind_and_rule() {
        let one = |outcome: &str| json!({ "table": "t", "kind": "insert_exists", "rule": "r", "outcome": outcome });
        let list = json!([one("source"), one("merged"), one("source"), one("parked")]);
        let conflicts = Conflicts::of(&list);
        assert_eq!((conflicts.decided, conflicts.waiting), (3, 1));
        assert_eq!(conflicts.groups.len(), 1);
        assert_eq!(conflicts.groups[0].outcomes["source"], 2);
    }

    #[test]
    fn what_was_applied_is_added_up() {
        let report = json!({ "tables": [
            { "applied_to_source": 1, "applied_to_target": 2 },
            { "applied_to_source": 10, "applied_to_target": 20 },
        ] });
        assert_eq!(applied(&[&report, &report], Side::Monolith), 22);
        assert_eq!(applied(&[&report], Side::Service), 22);
    }
}

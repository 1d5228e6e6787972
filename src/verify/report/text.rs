//! The report as text for people.

use std::fmt;

use serde_json::{Map, Value as Json};

use super::{Difference, DifferenceKind, Report, TableReport};

/// Differences shown as text; the JSON has all that are listed.
const SHOWN: usize = 20;
/// Characters of a cell that are shown.
const CELL_CHARS: usize = 60;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tables_as_text(f)?;
        self.differences_as_text(f)?;
        self.checks_as_text(f)?;
        self.schema_as_text(f)?;
        let rows: u64 = self
            .tables
            .iter()
            .map(|t| t.rows_source.max(t.rows_target))
            .sum();
        let tables = count(self.tables.len() as u64, "table", "tables");
        let rows = count(rows, "row", "rows");
        writeln!(f)?;
        let looked_at = self.looked_at_as_text(&rows);
        if !self.decided() && self.consistent {
            write!(
                f,
                "NOT decided: {tables}, {looked_at}, no difference as far as could be seen"
            )?;
        } else if self.consistent && self.is_part() {
            write!(f, "no difference in a sample: {tables}, {looked_at}")?;
        } else if self.consistent {
            write!(f, "consistent: {tables}, {looked_at}, no difference")?;
        } else if self.differences_total > 0 {
            let differences = count(self.differences_total, "difference", "differences");
            write!(f, "NOT consistent: {differences} in {tables}, {looked_at}")?;
        } else if self.tables.iter().all(TableReport::consistent) {
            write!(
                f,
                "NOT consistent: no difference in {tables}, {looked_at}, but a check failed"
            )?;
        } else {
            write!(f, "NOT consistent: the numbers of rows differ")?;
        }
        writeln!(f, " ({} in {:.2} s)", self.level, self.seconds)?;
        self.sample_as_text(f)?;
        if self.in_flight > 0 {
            writeln!(
                f,
                "{} in flight: nothing is said about them",
                count(self.in_flight, "row was", "rows were")
            )?;
        }
        let tolerated: u64 = self.tables.iter().map(|t| t.tolerated).sum();
        if tolerated > 0 {
            writeln!(
                f,
                "{} by no more than is tolerated",
                count(tolerated, "row differs", "rows differ")
            )?;
        }
        let waiting: u64 = self.tables.iter().map(|t| t.waiting).sum();
        if waiting > 0 {
            writeln!(
                f,
                "{} only for a sync to carry their changes over; none is running",
                count(waiting, "row waits", "rows wait")
            )?;
        }
        for table in &self.tables {
            if let Some(why) = &table.late {
                writeln!(f, "  {}: {why}", table.table)?;
            }
        }
        Ok(())
    }
}

impl Report {
    /// Whether only a part of the rows was compared.
    #[must_use]
    pub fn is_part(&self) -> bool {
        self.tables.iter().any(|t| t.sampled_percent.is_some())
    }

    /// What was compared, of `rows` in all.
    fn looked_at_as_text(&self, rows: &str) -> String {
        if !self.is_part() {
            return rows.to_owned();
        }
        let looked_at = self
            .tables
            .iter()
            .map(|t| t.looked_at[0].max(t.looked_at[1]));
        format!("{} of {rows}", grouped(looked_at.sum()))
    }

    fn sample_as_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(sample) = &self.sample else {
            return Ok(());
        };
        let (percent, seed) = (sample.asked.percent, sample.asked.seed);
        if !self.is_part() {
            return writeln!(f, "a sample of {percent} % of these tables is all of them");
        }
        writeln!(
            f,
            "of the sample {} % are proven equal; nothing is said about the other rows (--sample {percent} \
             --sample-seed {seed} compares the same)",
            sample.consistency_percent
        )?;
        for t in &self.tables {
            if t.sampled_percent.is_some() && t.rows_source != t.rows_target {
                let (source, target) = (grouped(t.rows_source), grouped(t.rows_target));
                let why = if t.numbers_differ {
                    "rows differ, in the sample or elsewhere"
                } else {
                    "rows may be on their way"
                };
                writeln!(
                    f,
                    "  {}: {source} rows in the source, {target} in the target: {why}",
                    t.table
                )?;
            }
        }
        Ok(())
    }

    fn tables_as_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_flight = self.in_flight > 0;
        let mut head = vec!["table", "source", "target", "missing", "extra", "differ"];
        if in_flight {
            head.push("in flight");
        }
        head.extend(["seconds", ""]);
        let mut lines = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
        for t in &self.tables {
            let mut line = vec![
                t.table.clone(),
                grouped(t.rows_source),
                grouped(t.rows_target),
                known(t.missing_on_target),
                known(t.extra_on_target),
                known(t.differs),
            ];
            if in_flight {
                line.push(grouped(t.in_flight));
            }
            line.push(format!("{:.2}", t.seconds));
            line.push(verdict(t));
            lines.push(line);
        }
        let widths: Vec<usize> = (0..lines[0].len())
            .map(|i| {
                lines
                    .iter()
                    .map(|l| l[i].chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let last = widths.len() - 1;
        for line in &lines {
            for (i, cell) in line.iter().enumerate() {
                let width = widths[i];
                match i {
                    0 => write!(f, "{cell:<width$}")?,
                    i if i == last => write!(f, "  {cell}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn checks_as_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.checks.is_empty() {
            writeln!(f)?;
        }
        for check in &self.checks {
            let verdict = if check.passed { "ok" } else { "FAILED" };
            write!(f, "check {}  {verdict}", check.check)?;
            if check.passed {
                writeln!(f)?;
                continue;
            }
            if let Some(error) = &check.error {
                writeln!(f, ": {error}")?;
                continue;
            }
            let rows = count(check.rows_total, "row", "rows");
            writeln!(f, ": expected {}, found {rows}", check.expected)?;
            for row in &check.rows {
                writeln!(f, "    {}", cells(row))?;
            }
            let shown = check.rows.len() as u64;
            if check.rows_total > shown {
                writeln!(f, "    … and {} more", grouped(check.rows_total - shown))?;
            }
        }
        Ok(())
    }

    fn schema_as_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.schema.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        writeln!(f, "besides the rows, only one side has")?;
        for d in &self.schema {
            writeln!(f, "  {}  {}  {}", d.table, d.side, d.what)?;
        }
        Ok(())
    }

    fn differences_as_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.differences.is_empty() {
            return Ok(());
        }
        writeln!(f)?;
        for d in self.differences.iter().take(SHOWN) {
            difference(f, d)?;
        }
        let shown = self.differences.len().min(SHOWN) as u64;
        if self.differences_total > shown {
            writeln!(
                f,
                "… and {} (--format json lists {})",
                count(
                    self.differences_total - shown,
                    "more difference",
                    "more differences"
                ),
                if self.differences_total > self.differences.len() as u64 {
                    format!("the first {}", grouped(self.differences.len() as u64))
                } else {
                    "them all".to_owned()
                }
            )?;
        }
        Ok(())
    }
}

fn difference(f: &mut fmt::Formatter<'_>, d: &Difference) -> fmt::Result {
    write!(f, "{} ({})", d.table, cells(&d.key))?;
    match d.kind {
        DifferenceKind::MissingOnTarget => writeln!(f, " is missing on the target"),
        DifferenceKind::ExtraOnTarget => writeln!(f, " is only on the target"),
        DifferenceKind::Differs => {
            writeln!(f, " differs")?;
            let width = d
                .columns
                .iter()
                .map(|c| c.chars().count())
                .max()
                .unwrap_or(0);
            for column in &d.columns {
                let [source, target] = both(&d.source, &d.target, column);
                writeln!(f, "    {column:<width$}  source {source}  target {target}")?;
            }
            Ok(())
        }
    }
}

fn verdict(t: &TableReport) -> String {
    let verdict = match (t.consistent(), t.in_flight) {
        (false, _) => return "DIFFERENT".to_owned(),
        (true, 0) => "ok",
        (true, _) => "ok so far",
    };
    match t.sampled_percent {
        Some(percent) => format!("{verdict} in {percent} %"),
        None => verdict.to_owned(),
    }
}

fn cells(cells: &Map<String, Json>) -> String {
    let cells: Vec<_> = cells
        .iter()
        .map(|(k, v)| format!("{k} = {}", shown(v)))
        .collect();
    cells.join(", ")
}

/// A column's cells of both sides. Of long ones, what is around their first difference.
pub(super) fn both(
    source: &Map<String, Json>,
    target: &Map<String, Json>,
    column: &str,
) -> [String; 2] {
    let whole = [source, target].map(|cells| cells.get(column).map_or_else(String::new, text));
    if whole.iter().all(|text| text.chars().count() <= CELL_CHARS) {
        return whole;
    }
    let alike = whole[0].chars().zip(whole[1].chars());
    let alike = alike.take_while(|(a, b)| a == b).count();
    let skipped = alike.saturating_sub(CELL_CHARS / 2);
    whole.map(|text| {
        let begin = if skipped > 0 { "…" } else { "" };
        let mut rest = text.chars().skip(skipped);
        let middle: String = rest.by_ref().take(CELL_CHARS).collect();
        let end = if rest.next().is_some() { "…" } else { "" };
        format!("{begin}{middle}{end}")
    })
}

fn text(value: &Json) -> String {
    match value {
        Json::Null => "NULL".to_owned(),
        other => other.to_string(),
    }
}

pub(super) fn shown(value: &Json) -> String {
    let text = text(value);
    if text.chars().count() <= CELL_CHARS {
        return text;
    }
    text.chars().take(CELL_CHARS).chain(['…']).collect()
}

pub(super) fn known(n: Option<u64>) -> String {
    n.map_or_else(|| "-".to_owned(), grouped)
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(n), if n == 1 { one } else { many })
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

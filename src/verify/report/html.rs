//! The report as one page of HTML that needs nothing else: no server, no network, no script.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::data::clock::timestamp_text;

use super::text::{both, grouped, known, shown};
use super::{Difference, DifferenceKind, Report};

/// Differences that the page shows; the JSON has all that are listed.
const SHOWN: usize = 500;
/// Earlier verifications that the page shows.
const HISTORY: usize = 100;

/// An earlier verification of the same migration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// `count`, `hash` or `full`.
    pub level: String,
    /// Whether all was well.
    pub consistent: bool,
    /// Of a sample: how much of the rows was compared, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampled_percent: Option<f64>,
    /// Rows of the larger sides.
    pub rows: u64,
    /// Rows that differed.
    pub differences: u64,
    /// Rows about which nothing could be said.
    pub in_flight: u64,
    /// Checks that failed.
    pub checks_failed: u64,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// What history keeps of this verification.
    #[must_use]
    pub fn summary(&self, at_us: i64) -> Verified {
        let rows = self.tables.iter().map(|t| t.rows_source.max(t.rows_target));
        Verified {
            at_us,
            level: self.level.to_string(),
            consistent: self.consistent,
            sampled_percent: self.sampled_percent(),
            rows: rows.sum(),
            differences: self.differences_total,
            in_flight: self.in_flight,
            checks_failed: self.checks.iter().filter(|c| !c.passed).count() as u64,
            seconds: self.seconds,
        }
    }

    /// How much of the rows was compared, if it is not all of them.
    fn sampled_percent(&self) -> Option<f64> {
        let sample = self.sample.as_ref().filter(|_| self.is_part());
        sample.map(|sample| sample.rows_percent)
    }

    /// The report as a page. `history`: this and earlier verifications, oldest first.
    #[must_use]
    pub fn to_html(&self, migration: &str, history: &[Verified]) -> String {
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ok = self.page(&mut page, migration, history);
        page
    }

    fn page(&self, out: &mut String, migration: &str, history: &[Verified]) -> std::fmt::Result {
        let name = escaped(migration);
        let (class, verdict) = match (self.consistent, self.in_flight) {
            (true, _) if !self.decided() => ("open", "NOT decided: the sync was late"),
            (true, _) if self.is_part() => ("open", "no difference in a sample of the rows"),
            (true, 0) => ("ok", "consistent"),
            (true, _) => ("open", "no difference; some rows were in flight"),
            (false, _) => ("bad", "NOT consistent"),
        };
        write!(
            out,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{name}: {verdict}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
             <h1>Migration <em>{name}</em></h1>\n<p class=\"verdict {class}\">{verdict}</p>\n"
        )?;
        if let Some(last) = history.last() {
            let at = moment(last.at_us);
            let rows = grouped(last.rows);
            writeln!(
                out,
                "<p>Compared at level {} on {at}: {rows} rows in {:.1} s, {} differences, {} in \
                 flight.</p>",
                self.level,
                self.seconds,
                grouped(self.differences_total),
                grouped(self.in_flight)
            )?;
        }
        if let (Some(sample), Some(percent)) = (&self.sample, self.sampled_percent()) {
            writeln!(
                out,
                "<p id=\"sample\">A sample: {percent} % of the rows were compared, and {} % of these are \
                 proven equal. Nothing is said about the others. With --sample {} --sample-seed {} the \
                 same ones are compared.</p>",
                sample.consistency_percent, sample.asked.percent, sample.asked.seed
            )?;
        }
        self.tables_as_html(out)?;
        self.checks_as_html(out)?;
        self.schema_as_html(out)?;
        self.differences_as_html(out)?;
        history_as_html(out, history)?;
        out.push_str("</main>\n</body>\n</html>\n");
        Ok(())
    }

    fn tables_as_html(&self, out: &mut String) -> std::fmt::Result {
        out.push_str(
            "<h2>Tables</h2>\n<table id=\"tables\">\n<thead><tr><th>table</th><th>state</th>\
             <th class=\"n\">source</th><th class=\"n\">target</th><th class=\"n\">missing</th>\
             <th class=\"n\">extra</th><th class=\"n\">differ</th><th class=\"n\">in flight</th>\
             <th>how</th><th>as of</th><th class=\"n\">seconds</th></tr></thead>\n<tbody>\n",
        );
        for t in &self.tables {
            let (class, state) = match (t.consistent(), t.in_flight) {
                (false, _) => ("bad", "different"),
                (true, 0) => ("ok", "ok"),
                (true, _) => ("open", "ok so far"),
            };
            let mut late = t.late.as_deref().map_or_else(String::new, |why| {
                format!("<br><small>{}</small>", escaped(why))
            });
            if let Some(percent) = t.sampled_percent {
                late.push_str(&format!(
                    "<br><small>a sample: {percent} % of the rows</small>"
                ));
            }
            if t.sampled_percent.is_some() && t.numbers_differ {
                late.push_str("<br><small>the numbers of rows differ</small>");
            }
            if t.waiting > 0 {
                let waiting = grouped(t.waiting);
                late.push_str(&format!(
                    "<br><small>{waiting} wait only for a sync; none was running</small>"
                ));
            }
            writeln!(
                out,
                "<tr><td>{}</td><td class=\"{class}\">{state}{late}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td>\
                 <td class=\"n\">{:.2}</td></tr>",
                escaped(&t.table),
                grouped(t.rows_source),
                grouped(t.rows_target),
                known(t.missing_on_target),
                known(t.extra_on_target),
                known(t.differs),
                grouped(t.in_flight),
                t.strategy,
                moment(t.compared_at_us),
                t.seconds,
            )?;
        }
        out.push_str("</tbody>\n</table>\n");
        Ok(())
    }

    fn schema_as_html(&self, out: &mut String) -> std::fmt::Result {
        if self.schema.is_empty() {
            return Ok(());
        }
        out.push_str(
            "<h2>Besides the rows</h2>\n<table id=\"schema\">\n<thead><tr><th>table</th>\
             <th>only in the</th><th>what</th></tr></thead>\n<tbody>\n",
        );
        for d in &self.schema {
            let (table, what) = (escaped(&d.table), escaped(&d.what));
            writeln!(
                out,
                "<tr><td>{table}</td><td>{}</td><td>{what}</td></tr>",
                d.side
            )?;
        }
        out.push_str("</tbody>\n</table>\n");
        Ok(())
    }

    fn checks_as_html(&self, out: &mut String) -> std::fmt::Result {
        if self.checks.is_empty() {
            return Ok(());
        }
        out.push_str(
            "<h2>Checks</h2>\n<table id=\"checks\">\n<thead><tr><th>check</th><th>state</th>\
             <th>expected</th><th class=\"n\">rows found</th><th>first rows</th></tr></thead>\n\
             <tbody>\n",
        );
        for check in &self.checks {
            let (class, state) = if check.passed {
                ("ok", "ok")
            } else {
                ("bad", "failed")
            };
            let rows: Vec<String> = if let Some(error) = &check.error {
                vec![escaped(error)]
            } else if check.passed {
                Vec::new()
            } else {
                check.rows.iter().map(|row| escaped(&cells(row))).collect()
            };
            writeln!(
                out,
                "<tr><td>{}</td><td class=\"{class}\">{state}</td><td>{}</td><td class=\"n\">{}</td>\
                 <td>{}</td></tr>",
                escaped(&check.check),
                escaped(&check.expected),
                grouped(check.rows_total),
                rows.join("<br>"),
            )?;
        }
        out.push_str("</tbody>\n</table>\n");
        Ok(())
    }

    fn differences_as_html(&self, out: &mut String) -> std::fmt::Result {
        if self.differences.is_empty() {
            return Ok(());
        }
        let shown = self.differences.len().min(SHOWN);
        write!(
            out,
            "<h2>Differences</h2>\n<p>The first {} of {}.</p>\n<table id=\"differences\">\n<thead><tr>\
             <th>table</th><th>key</th><th>column</th><th>source</th><th>target</th></tr></thead>\n\
             <tbody>\n",
            grouped(shown as u64),
            grouped(self.differences_total)
        )?;
        for d in self.differences.iter().take(shown) {
            difference(out, d)?;
        }
        out.push_str("</tbody>\n</table>\n");
        Ok(())
    }
}

fn difference(out: &mut String, d: &Difference) -> std::fmt::Result {
    let (table, key) = (escaped(&d.table), escaped(&cells(&d.key)));
    let whole = |out: &mut String, source: &str, target: &str| {
        writeln!(
            out,
            "<tr><td>{table}</td><td>{key}</td><td></td><td>{source}</td><td>{target}</td></tr>"
        )
    };
    match d.kind {
        DifferenceKind::MissingOnTarget => {
            whole(out, "has the row", "<span class=\"bad\">missing</span>")
        }
        DifferenceKind::ExtraOnTarget => {
            whole(out, "<span class=\"bad\">missing</span>", "has the row")
        }
        DifferenceKind::Differs => {
            for column in &d.columns {
                let [source, target] = both(&d.source, &d.target, column);
                writeln!(
                    out,
                    "<tr><td>{table}</td><td>{key}</td><td>{}</td><td class=\"cell\">{}</td>\
                     <td class=\"cell bad\">{}</td></tr>",
                    escaped(column),
                    escaped(&source),
                    escaped(&target)
                )?;
            }
            Ok(())
        }
    }
}

fn history_as_html(out: &mut String, history: &[Verified]) -> std::fmt::Result {
    let recent = &history[history.len().saturating_sub(HISTORY)..];
    if recent.len() < 2 {
        return Ok(());
    }
    out.push_str("<h2>History</h2>\n");
    // A bar each: how many rows differed, by the logarithm.
    let height = |v: &Verified| {
        let digits = v.differences.checked_ilog2().map_or(0, |n| n + 1);
        (v.differences > 0).then_some(4 + digits.min(32))
    };
    let width = recent.len() * 8;
    writeln!(
        out,
        "<svg id=\"trend\" width=\"{width}\" height=\"40\" viewBox=\"0 0 {width} 40\" role=\"img\" \
         aria-label=\"Rows that differed, oldest first\">"
    )?;
    for (i, v) in recent.iter().enumerate() {
        let (class, h) = match height(v) {
            Some(h) => ("bad", h),
            None if v.consistent => ("ok", 2),
            None => ("bad", 2),
        };
        writeln!(
            out,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"6\" height=\"{h}\"/>",
            i * 8,
            40 - h
        )?;
    }
    out.push_str(
        "</svg>\n<table id=\"history\">\n<thead><tr><th>when (UTC)</th><th>level</th><th>state</th>\
         <th class=\"n\">rows</th><th class=\"n\">differences</th><th class=\"n\">in flight</th>\
         <th class=\"n\">checks failed</th><th class=\"n\">seconds</th></tr></thead>\n<tbody>\n",
    );
    for v in recent.iter().rev() {
        let (class, state) = if v.consistent {
            ("ok", "ok")
        } else {
            ("bad", "different")
        };
        writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"{class}\">{state}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{:.1}</td></tr>",
            moment(v.at_us),
            match v.sampled_percent {
                Some(percent) => format!("{}, {percent} % of the rows", escaped(&v.level)),
                None => escaped(&v.level),
            },
            grouped(v.rows),
            grouped(v.differences),
            grouped(v.in_flight),
            v.checks_failed,
            v.seconds
        )?;
    }
    out.push_str("</tbody>\n</table>\n");
    Ok(())
}

/// To the second, in UTC.
fn moment(us: i64) -> String {
    timestamp_text(us / 1_000_000 * 1_000_000, "Z")
}

fn cells(cells: &Map<String, Json>) -> String {
    let cells: Vec<_> = cells
        .iter()
        .map(|(name, value)| format!("{name} = {}", shown(value)))
        .collect();
    cells.join(", ")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // What would turn the text around, or is not allowed in a page.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                let _ok = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c if c.is_control() => {
                let _ok = write!(out, "{}", c.escape_default());
            }
            c => out.push(c),
        }
    }
    out
}

const STYLE: &str = "\
:root { color-scheme: light dark; --ok: #1a7f37; --bad: #c1121f; --open: #9a6700; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --ok: #4ac26b; --bad: #ff7b72; --open: #d4a72c; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 em { font-style: normal; }
.verdict { font-size: 1.4rem; font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; }
.n { text-align: right; white-space: nowrap; }
.cell { font-family: ui-monospace, monospace; }
.ok { color: var(--ok); fill: var(--ok); }
.bad { color: var(--bad); fill: var(--bad); }
.open { color: var(--open); fill: var(--open); }
";

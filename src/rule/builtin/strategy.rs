//! The strategies and their common frame.

use crate::data::Value;
use crate::rule::{Conflict, FailureKind, Resolve, RuleError, RuleInfo, RuleTable, Verdict};

use super::merge::{self, Rule};
use super::settings::Settings;
use super::side::{Choice, Winner};

macro_rules! strategies {
    ($($name:ident = $text:literal, $settings:expr, $summary:literal;)*) => {
        /// A strategy without its settings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Strategy { $($name),* }

        impl Strategy {
            pub(super) fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }

            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            pub(super) fn summary(self) -> &'static str {
                match self { $(Self::$name => $summary),* }
            }

            /// The settings that it knows.
            pub(super) fn settings(self) -> &'static [&'static str] {
                match self { $(Self::$name => $settings),* }
            }
        }
    };
}

const TIME: &[&str] = &["prefer"];
const MERGE: &[&str] = &["otherwise", "prefer"];
const COLUMNS: &[&str] = &["columns", "otherwise", "prefer"];

strategies! {
    LastWriteWins = "last-write-wins", TIME,
        "the side that was committed last wins; unknown or equal times go to the preferred side";
    FirstWriteWins = "first-write-wins", TIME,
        "the side that was committed first wins; unknown or equal times go to the preferred side";
    SourceWins = "source-wins", &[], "the source's row wins";
    TargetWins = "target-wins", &[], "the target's row wins";
    MergeColumns = "merge-columns", MERGE,
        "each column is merged three ways; one changed on both sides goes to another strategy";
    AddDeltas = "add-deltas", COLUMNS,
        "both sides' changes of a counter are added up; other columns are merged";
    Max = "max", COLUMNS, "the larger value of a column wins; other columns are merged";
    Min = "min", COLUMNS, "the smaller value of a column wins; other columns are merged";
    KeepBoth = "keep-both", TIME,
        "both rows stay: the later one under the key, the other under a new key";
    Skip = "skip", &[], "the row at the receiving side stays as it is";
    Park = "park", &[], "a person decides";
}

/// A strategy with its settings.
#[derive(Debug)]
pub(super) struct Builtin {
    strategy: Strategy,
    settings: Settings,
}

impl Builtin {
    pub(super) fn new(strategy: Strategy, settings: Settings) -> Self {
        Self { strategy, settings }
    }

    /// Indexes of the configured columns; all when none are configured.
    fn columns(&self, table: &RuleTable) -> Result<Option<Vec<usize>>, String> {
        let Some(names) = &self.settings.columns else {
            return Ok(None);
        };
        names
            .iter()
            .map(|name| match table.column(name) {
                None => Err(format!(
                    "columns names {name:?}, which table {} does not have",
                    table.name
                )),
                Some(i) if table.key.contains(&i) => Err(format!(
                    "columns names {name:?}, which belongs to the key of table {}",
                    table.name
                )),
                Some(i) => Ok(i),
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn decide(&self, table: &RuleTable, columns: Option<&[usize]>, conflict: &Conflict) -> Verdict {
        let (source, target) = (&conflict.source.row, &conflict.target.row);
        if source == target {
            return Verdict::Source;
        }
        let prefer = self.settings.prefer;
        let choose = |choice: Choice| match choice.winner(conflict, prefer) {
            Some(winner) => winner.verdict(),
            None => Verdict::Park("the strategy is park: a person decides".to_owned()),
        };
        let rule = match self.strategy {
            Strategy::LastWriteWins => return choose(Choice::LastWriteWins),
            Strategy::FirstWriteWins => return choose(Choice::FirstWriteWins),
            Strategy::SourceWins => return choose(Choice::SourceWins),
            Strategy::TargetWins => return choose(Choice::TargetWins),
            Strategy::Skip => return choose(Choice::Skip),
            Strategy::Park => return choose(Choice::Park),
            Strategy::KeepBoth => return self.keep_both(conflict),
            Strategy::MergeColumns => Rule::ThreeWay,
            Strategy::AddDeltas => Rule::AddDeltas,
            Strategy::Max => Rule::Larger,
            Strategy::Min => Rule::Smaller,
        };
        let (Some(source), Some(target)) = (source, target) else {
            return match changed_alone(conflict) {
                Some(winner) => winner.verdict(),
                None => self.otherwise(
                    conflict,
                    "the row was deleted on one side and changed on the other",
                ),
            };
        };
        if table.key.iter().any(|&k| source.get(k) != target.get(k)) {
            return self.otherwise(conflict, "the rows have different keys");
        }
        let three_way = matches!(rule, Rule::ThreeWay | Rule::AddDeltas);
        if let Some(winner) = changed_alone(conflict).filter(|_| three_way) {
            return winner.verdict();
        }
        let merge = merge::Merge {
            table,
            columns,
            rule,
            base: conflict.base.as_deref().filter(|_| conflict.base_known),
            source,
            target,
        };
        let otherwise = || self.settings.otherwise.winner(conflict, prefer);
        match merge.row(otherwise) {
            Err(why) => Verdict::Park(why),
            Ok(row) if row == *source => Verdict::Source,
            Ok(row) if row == *target => Verdict::Target,
            Ok(row) => Verdict::Merged(row),
        }
    }

    fn otherwise(&self, conflict: &Conflict, why: &str) -> Verdict {
        self.settings
            .otherwise
            .winner(conflict, self.settings.prefer)
            .map_or_else(|| Verdict::Park(why.to_owned()), Winner::verdict)
    }

    fn keep_both(&self, conflict: &Conflict) -> Verdict {
        if let Some(winner) = changed_alone(conflict) {
            return winner.verdict();
        }
        match (&conflict.source.row, &conflict.target.row) {
            (Some(source), Some(target)) => {
                let winner = Choice::LastWriteWins.winner(conflict, self.settings.prefer);
                let (row, other) = match winner {
                    Some(Winner::Target) => (target, source),
                    _ => (source, target),
                };
                Verdict::KeepBoth {
                    row: row.clone(),
                    other: other.clone(),
                }
            }
            (Some(_), None) => Verdict::Source,
            (None, _) => Verdict::Target,
        }
    }
}

/// The side that moved away from a known base while the other did not.
fn changed_alone(conflict: &Conflict) -> Option<Winner> {
    if !conflict.base_known {
        return None;
    }
    let same = |row: &Option<Vec<Value>>| *row == conflict.base;
    match (same(&conflict.source.row), same(&conflict.target.row)) {
        (true, false) => Some(Winner::Target),
        (false, true) => Some(Winner::Source),
        _ => None,
    }
}

impl Resolve for Builtin {
    fn describe(&self) -> RuleInfo {
        RuleInfo {
            name: self.strategy.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: self.strategy.summary().to_owned(),
            digest: None,
        }
    }

    fn resolve(
        &self,
        table: &RuleTable,
        conflicts: &[Conflict],
    ) -> Result<Vec<Verdict>, RuleError> {
        let columns = self.columns(table).map_err(|message| RuleError {
            kind: FailureKind::Fatal,
            rule: self.strategy.name().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            digest: None,
            function: "resolve",
            table: table.name.clone(),
            rows: 0..conflicts.len(),
            message,
        })?;
        Ok(conflicts
            .iter()
            .map(|conflict| self.decide(table, columns.as_deref(), conflict))
            .collect())
    }
}

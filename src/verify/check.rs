//! Checks of the user's own: a query over all stores, and what it must answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::config::{CheckConfig, Expect};
use crate::data::Decimal;
use crate::database::ReadStore;
use crate::error::Result;

use super::flow::Flow;
use super::query::{JsonRows, QueryOptions, query};
use super::request::Recheck;

/// Rows that a report shows.
const ROWS_SHOWN: usize = 20;

/// What became of a check.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// Its name in the configuration.
    pub check: String,
    /// Whether the query answered what is expected.
    pub passed: bool,
    /// What is expected: `empty`, `one row`, or a value as JSON.
    pub expected: String,
    /// How many rows the query answered.
    pub rows_total: u64,
    /// The first of them.
    pub rows: Vec<Map<String, Json>>,
    /// Why the query could not be run, if so: then nothing has passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How often the query ran: what is on its way between two stores may make it fail for a moment.
    pub runs: u32,
    /// How long it took.
    pub seconds: f64,
}

/// Runs a check; while it does not pass, again after a wait for what is on its way. One that cannot be
/// run has not passed, and says why.
///
/// Fails only where what is on its way cannot be told.
pub async fn check(
    stores: &[Arc<dyn ReadStore>],
    name: &str,
    config: &CheckConfig,
    options: &QueryOptions,
    recheck: Recheck,
    flow: Option<(&dyn Flow, Duration)>,
) -> Result<CheckReport> {
    let begun = Instant::now();
    let mut runs = 0;
    loop {
        runs += 1;
        let mut report = match run(stores, name, config, options).await {
            Ok(report) => report,
            Err(e) => CheckReport {
                check: name.to_owned(),
                passed: false,
                expected: config.expect.to_string(),
                rows_total: 0,
                rows: Vec::new(),
                error: Some(e.at(format_args!("checks.{name}")).to_string()),
                runs: 0,
                seconds: 0.0,
            },
        };
        if report.passed || report.error.is_some() || runs > recheck.tries {
            report.runs = runs;
            report.seconds = begun.elapsed().as_secs_f64();
            return Ok(report);
        }
        if let Some((flow, patience)) = flow {
            flow.across(patience).await?;
        }
        tokio::time::sleep(Duration::from_millis(recheck.wait_ms)).await;
    }
}

async fn run(
    stores: &[Arc<dyn ReadStore>],
    name: &str,
    config: &CheckConfig,
    options: &QueryOptions,
) -> Result<CheckReport> {
    let mut answer = query(stores, &config.sql, options).await?;
    let form = JsonRows::new(&answer.schema());
    let (mut rows, mut rows_total) = (Vec::new(), 0);
    while let Some(batch) = answer.next().await? {
        rows_total += batch.num_rows() as u64;
        for row in 0..batch.num_rows().min(ROWS_SHOWN - rows.len()) {
            rows.push(form.row(&batch, row)?);
        }
    }
    let passed = match &config.expect {
        Expect::Empty => rows_total == 0,
        Expect::OneRow => rows_total == 1,
        Expect::Value(expected) => {
            rows_total == 1
                && rows[0].len() == 1
                && rows[0].values().all(|found| is_same(found, expected))
        }
    };
    Ok(CheckReport {
        check: name.to_owned(),
        passed,
        expected: config.expect.to_string(),
        rows_total,
        rows,
        error: None,
        runs: 0,
        seconds: 0.0,
    })
}

/// Whether the values are the same; numbers by what they are worth. Decimals come as text.
fn is_same(found: &Json, expected: &Json) -> bool {
    if found == expected {
        return true;
    }
    if !expected.is_number() {
        return false;
    }
    let text = |value: &Json| match value {
        Json::Number(number) => Some(number.to_string()),
        Json::String(text) => Some(text.clone()),
        _ => None,
    };
    let (Some(found), Some(expected)) = (text(found), text(expected)) else {
        return false;
    };
    match (found.parse::<Decimal>(), expected.parse::<Decimal>()) {
        (Ok(a), Ok(b)) => a == b,
        _ => matches!((found.parse::<f64>(), expected.parse::<f64>()), (Ok(a), Ok(b)) if a == b),
    }
}

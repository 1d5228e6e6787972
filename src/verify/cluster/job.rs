//! What is compared, and one range of it, as it travels.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::data::{Key, canonical};
use crate::database::ReadStore;
use crate::error::{Error, ErrorKind, Result};
use crate::verify::ledger::{hex, part_of_line, part_to_line, unhex};
use crate::verify::look::Part;
use crate::verify::reader::Failure;
use crate::verify::request::VerifyRequest;
use crate::verify::run::pairs;
use crate::verify::side::Range;

/// What a worker has of its own.
pub trait Host: fmt::Debug + Send + Sync + 'static {
    /// A store of its configuration.
    ///
    /// # Errors
    /// `NotFound` when there is none of this name.
    fn store(&self, name: &str) -> Result<Arc<dyn ReadStore>>;

    /// Compares one range, and answers what [`compare_range`] does.
    fn compare<'a>(&'a self, job: &'a Job, range: &'a RangeText) -> BoxFuture<'a, Result<String>>;
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The migration.
    pub migration: String,
    /// What its configuration says about tables, digested: who has another one may not answer.
    pub compared: String,
    /// The table, by its name in the target.
    pub table: String,
    /// `hash` or `full`.
    pub level: String,
    /// Only rows for which this SQL is true, in both stores.
    pub filter: Option<String>,
    /// Rows of each side that one worker reads in a second, at most.
    pub rows_per_s_max: Option<u64>,
    /// How much of the time a reader of a worker reads, in percent, at most.
    pub busy_percent_max: Option<u8>,
}

/// A range: keys in exact canonical bytes, in hex.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RangeText {
    /// Its place in the table.
    pub n: usize,
    after: Option<String>,
    up_to: Option<String>,
}

impl RangeText {
    pub(super) fn new(n: usize, range: &Range) -> Self {
        let text = |key: &Option<Key>| key.as_ref().map(|k| hex(&canonical::encode_exact(&k.0)));
        Self {
            n,
            after: text(&range.after),
            up_to: text(&range.up_to),
        }
    }

    fn range(&self) -> Result<Range> {
        let key = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match unhex(text) {
                Some(bytes) => Ok(Some(Key(canonical::decode(&bytes)?))),
                None => Err(damaged("a range")),
            },
        };
        Ok(Range {
            after: key(&self.after)?,
            up_to: key(&self.up_to)?,
            ordinal: 0,
        })
    }
}

/// What a worker answers.
#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    /// What the range found, as a line of the ledger.
    #[serde(rename = "part")]
    Part(String),
    /// Its rows do not come in the order of their keys; the table must be sorted as a whole.
    #[serde(rename = "unordered")]
    Unordered(String),
}

/// Compares one range of a table, which the request must name.
///
/// # Errors
/// As [`crate::verify::verify`].
pub async fn compare_range(request: &VerifyRequest<'_>, range: &RangeText) -> Result<String> {
    let pairs = pairs(request)?;
    let wanted = request.tables.as_deref().unwrap_or_default();
    // The source of another table may have the same name.
    let mut pairs = pairs
        .iter()
        .filter(|p| wanted.iter().any(|w| w == p.name()));
    let Some(pair) = pairs.next() else {
        return Err(Error::new(
            ErrorKind::Internal,
            "a job is about one table of a migration",
        ));
    };
    let part = pair
        .range_part(request.level, &range.range()?, &|_| ())
        .await;
    let answer = match part {
        Ok(mut part) => Answer::Part(part_to_line(&mut part)?),
        Err(Failure::OutOfOrder(why)) => Answer::Unordered(why),
        Err(Failure::Failed(e)) => return Err(e),
    };
    serde_json::to_string(&answer)
        .map_err(|e| Error::new(ErrorKind::Internal, "an answer has no JSON form").caused_by(e))
}

/// What a range found, as a worker has answered.
pub(super) fn part_of(answer: &str) -> Result<Part, Failure> {
    let answer: Answer = serde_json::from_str(answer).map_err(|_| damaged("an answer"))?;
    match answer {
        Answer::Part(line) => Ok(part_of_line(&line)?.ok_or_else(|| damaged("an answer"))?),
        Answer::Unordered(why) => Err(Failure::OutOfOrder(why)),
    }
}

fn damaged(what: &str) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("{what} of a worker cannot be read"),
    )
    .hint("run the same version of Banyan everywhere")
}

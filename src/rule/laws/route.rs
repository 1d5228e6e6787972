//! The laws of routers.

use crate::rule::{FailureKind, RequestHead, Route, answer};

use super::generate::{self, Seeded};
use super::{LawOptions, LawReport, law};

/// Tries the laws on `rule` with generated requests and with `recorded` ones.
#[must_use]
pub fn check_route(rule: &dyn Route, recorded: &[RequestHead], options: &LawOptions) -> LawReport {
    let mut seeded = Seeded::new(options.seed);
    let mut batches: Vec<Vec<RequestHead>> = recorded.iter().map(|r| vec![r.clone()]).collect();
    let count = options
        .batches
        .saturating_mul(options.rows.max(1))
        .min(2_000);
    batches.extend((0..count).map(|_| vec![generate::request(&mut seeded)]));
    let show = |batch: &[RequestHead]| {
        batch
            .iter()
            .map(|r| format!("{r:?}"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let simpler = |request: &RequestHead| -> Vec<RequestHead> {
        let mut out: Vec<RequestHead> = (0..request.headers.len())
            .map(|i| {
                let mut candidate = request.clone();
                candidate.headers.remove(i);
                candidate
            })
            .collect();
        if !request.query.is_empty() {
            out.push(RequestHead {
                query: String::new(),
                ..request.clone()
            });
        }
        out
    };
    LawReport {
        rule: rule.describe().name,
        role: "route",
        table: String::new(),
        batches: batches.len(),
        laws: vec![
            law("determinism", &batches, simpler, show, |batch| {
                batch
                    .iter()
                    .find_map(|r| match (rule.route(r), rule.route(r)) {
                        (Ok(a), Ok(b)) if a == b => None,
                        (Ok(a), Ok(b)) => Some(format!("decided {a:?} and, asked again, {b:?}")),
                        (Err(a), Err(b)) if (a.kind, &a.message) == (b.kind, &b.message) => None,
                        (Err(e), _) | (_, Err(e)) => Some(format!("answered two ways: {e}")),
                    })
            }),
            law("valid-answers", &batches, simpler, show, |batch| {
                batch.iter().find_map(|r| match rule.route(r) {
                    Ok(decision) => answer::decision(&decision).err().map(|w| w.message),
                    Err(e) if e.kind == FailureKind::Rejected => None,
                    Err(e) => Some(e.to_string()),
                })
            }),
        ],
    }
}

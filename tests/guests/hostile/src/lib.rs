//! Does whatever a rule must not do. `settings.what` says which of it.
//!
//! It is written against the raw bindings, because the SDK would not let it. What `describe` does
//! can't depend on settings: a test changes [`DESCRIBE`] in the built component.

use std::cell::{Cell, RefCell};
use std::hint::black_box;

use banyan_rule::bindings::lifecycle::exports::banyan::rules::lifecycle;
use banyan_rule::bindings::resolver::exports::banyan::rules::resolver;
use banyan_rule::bindings::router::exports::banyan::rules::router;
use banyan_rule::bindings::transformer::exports::banyan::rules::transformer;
use banyan_rule::bindings::validator::exports::banyan::rules::validator;
use banyan_rule::wire::{
    Binary, Cells, Column, Direction, Failure, Note, Rejection, Rows, Severity, Table, Utf8,
};
use banyan_rule::{Level, Settings, log};

/// Changed by a test: `fine`, `spin` or `trap`, filled with dots.
static DESCRIBE: [u8; 32] = *b"HOSTILE-DESCRIBE:fine...........";

thread_local! {
    static WHAT: RefCell<String> = const { RefCell::new(String::new()) };
    static CALLS: Cell<i64> = const { Cell::new(0) };
}

/// The codes of choices.
const SOURCE: u8 = 0;
const TARGET: u8 = 1;
const MERGED: u8 = 2;
const DELETE: u8 = 3;
const PARK: u8 = 4;

struct Hostile;

fn what() -> String {
    WHAT.with_borrow(Clone::clone)
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort();
}

fn recurse(depth: u64) -> u64 {
    let page = black_box([depth; 64]);
    if black_box(true) {
        recurse(depth + 1) + page[7]
    } else {
        0
    }
}

/// What can go wrong in any function. Answers only when nothing was to.
fn misbehave(what: &str) -> Result<(), Failure> {
    match what {
        "spin" => spin(),
        "trap" => trap(),
        "panic" => {
            let empty: Vec<u8> = black_box(Vec::new());
            black_box(empty[3]);
        }
        "recursion" => {
            black_box(recurse(0));
        }
        "allocate" => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(black_box(vec![1; 1 << 20]));
            }
        }
        "log-million" => {
            for i in 0..1_000_000 {
                log(Level::Info, if i % 2 == 0 { "even" } else { "odd" });
            }
        }
        "log-huge" => log(Level::Error, &"x".repeat(20 << 20)),
        "reject" => {
            return Err(Failure::Reject(Rejection {
                row: None,
                message: "not these".into(),
            }));
        }
        "reject-row" => {
            return Err(Failure::Reject(Rejection {
                row: Some(2),
                message: "not this one".into(),
            }));
        }
        "reject-nowhere" => {
            return Err(Failure::Reject(Rejection {
                row: Some(4_000_000_000),
                message: "not that one".into(),
            }));
        }
        "fatal" => return Err(Failure::Fatal("the settings are wrong".into())),
        "fatal-huge" => return Err(Failure::Fatal("y".repeat(20 << 20))),
        _ => {}
    }
    Ok(())
}

impl lifecycle::Guest for Hostile {
    fn describe() -> lifecycle::Info {
        banyan_rule::install_panic_hook();
        // SAFETY: a static is always readable; volatile, or the compiler would know its bytes.
        let chosen = unsafe { std::ptr::read_volatile(&DESCRIBE) };
        match &chosen[17..21] {
            b"spin" => spin(),
            b"trap" => trap(),
            b"huge" => lifecycle::Info {
                name: "n".repeat(1 << 20),
                version: "v".repeat(1 << 20),
                summary: "s".repeat(1 << 20),
            },
            _ => lifecycle::Info {
                name: "hostile".into(),
                version: "0.1.0".into(),
                summary: "Does whatever a rule must not do".into(),
            },
        }
    }

    fn open(settings: String, tables: Vec<Table>) -> Result<(), Failure> {
        banyan_rule::install_panic_hook();
        let settings = Settings::parse(&settings).map_err(|f| Failure::Fatal(f.to_string()))?;
        let what = settings.text_or("what", "none").unwrap_or("none").to_owned();
        // `open-…` misbehaves here, but not when it is loaded.
        if let Some(open) = what.strip_prefix("open-")
            && !tables.is_empty()
        {
            misbehave(open)?;
        }
        if let Some(load) = what.strip_prefix("load-") {
            misbehave(load)?;
        }
        WHAT.set(what);
        Ok(())
    }
}

fn int64(values: Vec<i64>) -> Column {
    Column {
        nulls: vec![],
        cells: Cells::Int64(values),
    }
}

fn text(ends: Vec<u32>, data: &str) -> Column {
    Column {
        nulls: vec![],
        cells: Cells::Text(Utf8 {
            ends,
            data: data.into(),
        }),
    }
}

fn other(data: Vec<u8>) -> Column {
    Column {
        nulls: vec![],
        cells: Cells::Other(Binary {
            ends: vec![data.len() as u32],
            data,
        }),
    }
}

/// Arrays in arrays, in the form of `cells.other`.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = vec![0x0e; depth * 5];
    for level in 0..depth {
        let inside = ((depth - level - 1) * 5) as u32;
        bytes[level * 5 + 1..level * 5 + 5].copy_from_slice(&inside.to_le_bytes());
    }
    bytes
}

/// The first conflict's key, which the merged row must keep.
fn first_id(batch: &resolver::Conflicts) -> i64 {
    match batch.source.rows.columns.first().map(|c| &c.cells) {
        Some(Cells::Int64(ids)) => ids[0],
        _ => 0,
    }
}

/// One merged row (id, name, points) for the first conflict; most of them are wrong.
fn merged(what: &str, id: i64) -> Option<Vec<Column>> {
    let good = || text(vec![1], "m");
    let points = || int64(vec![1]);
    Some(match what {
        "merged-good" => vec![int64(vec![id]), good(), points()],
        "changed-key" => vec![int64(vec![id + 1000]), good(), points()],
        "null-key" => vec![
            Column {
                nulls: vec![1],
                cells: Cells::Int64(vec![0]),
            },
            good(),
            points(),
        ],
        "wrong-type" => vec![int64(vec![id]), good(), text(vec![3], "ten")],
        "column-missing" => vec![int64(vec![id]), good()],
        "column-extra" => vec![int64(vec![id]), good(), points(), points()],
        "cells-short" => vec![int64(vec![id]), good(), int64(vec![])],
        "cells-long" => vec![int64(vec![id]), good(), int64(vec![1, 2])],
        "nulls-long" => vec![
            int64(vec![id]),
            good(),
            Column {
                nulls: vec![0, 0],
                cells: Cells::Int64(vec![1]),
            },
        ],
        "nulls-two" => vec![
            int64(vec![id]),
            good(),
            Column {
                nulls: vec![2],
                cells: Cells::Int64(vec![1]),
            },
        ],
        "boolean-seven" => vec![
            int64(vec![id]),
            good(),
            Column {
                nulls: vec![],
                cells: Cells::Boolean(vec![7]),
            },
        ],
        "ends-beyond" => vec![int64(vec![id]), text(vec![9], "m"), points()],
        "ends-short" => vec![int64(vec![id]), text(vec![1], "mm"), points()],
        "ends-missing" => vec![int64(vec![id]), text(vec![], ""), points()],
        "uuid-short" => vec![
            int64(vec![id]),
            Column {
                nulls: vec![],
                cells: Cells::Uuid(vec![1, 2, 3]),
            },
            points(),
        ],
        "decimal-words" => vec![
            int64(vec![id]),
            good(),
            Column {
                nulls: vec![],
                cells: Cells::Decimal(Utf8 {
                    ends: vec![3],
                    data: "ten".into(),
                }),
            },
        ],
        "other-garbage" => vec![int64(vec![id]), good(), other(vec![0xff, 1, 2])],
        "other-two" => vec![
            int64(vec![id]),
            good(),
            other(vec![2, 1, 0, 0, 0, 1, 2, 1, 0, 0, 0, 1]),
        ],
        "other-nested" => vec![int64(vec![id]), good(), other(nested(100_000))],
        _ => return None,
    })
}

impl resolver::Guest for Hostile {
    fn resolve(batch: resolver::Conflicts) -> Result<resolver::Verdicts, Failure> {
        let what = what();
        misbehave(&what)?;
        let count = batch.kinds.len();
        let mut choices = vec![SOURCE; count];
        let mut answer = Rows {
            count: 0,
            columns: vec![],
        };
        let mut notes = vec![];
        match what.as_str() {
            "choices-short" => {
                choices.pop();
            }
            "choices-long" => choices.push(DELETE),
            "choices-none" => choices.clear(),
            "choice-nine" => choices[1] = 9,
            "merged-missing" => choices[0] = MERGED,
            "merged-extra" => {
                answer = Rows {
                    count: 1,
                    columns: vec![int64(vec![1]), text(vec![1], "m"), int64(vec![1])],
                };
            }
            "merged-count" => {
                choices[0] = MERGED;
                answer = Rows {
                    count: u32::MAX,
                    columns: vec![int64(vec![1]), text(vec![1], "m"), int64(vec![1])],
                };
            }
            "ends-fall" | "utf8-split" => {
                choices[0] = MERGED;
                choices[1] = MERGED;
                let (ends, data) = match what.as_str() {
                    "ends-fall" => (vec![3, 1], "abc"),
                    _ => (vec![1, 2], "ä"),
                };
                let id = first_id(&batch);
                answer = Rows {
                    count: 2,
                    columns: vec![int64(vec![id, id + 1]), text(ends, data), int64(vec![1, 1])],
                };
            }
            "note-nowhere" => notes.push(Note {
                row: count as u32,
                severity: Severity::Error,
                message: "where?".into(),
            }),
            "park" | "park-huge" => {
                choices[0] = PARK;
                notes.push(Note {
                    row: 0,
                    severity: Severity::Error,
                    message: if what == "park" {
                        "ask somebody".into()
                    } else {
                        "z".repeat(10 << 20)
                    },
                });
            }
            "counter" => {
                CALLS.set(CALLS.get() + 1);
                if CALLS.get() > 1 {
                    choices.fill(TARGET);
                }
            }
            _ => {}
        }
        if let Some(columns) = merged(&what, first_id(&batch)) {
            choices[0] = MERGED;
            answer = Rows { count: 1, columns };
        }
        Ok(resolver::Verdicts {
            choices,
            merged: answer,
            notes,
        })
    }
}

impl transformer::Guest for Hostile {
    fn transform(
        direction: Direction,
        _table: u32,
        batch: Rows,
    ) -> Result<Vec<transformer::RoutedRows>, Failure> {
        let what = what();
        misbehave(&what)?;
        let mut part = transformer::RoutedRows {
            table: u32::from(direction == Direction::Forward),
            columns: (0..batch.columns.len() as u16).collect(),
            origins: (0..batch.count).collect(),
            rows: batch,
        };
        match what.as_str() {
            "table-far" => part.table = 99,
            "table-own" => part.table = u32::from(direction == Direction::Backward),
            "column-far" => part.columns[0] = 99,
            "column-twice" => part.columns[1] = part.columns[0],
            "origin-far" => part.origins[0] = 4_000_000_000,
            "origin-twice" => part.origins[1] = part.origins[0],
            "origins-short" => {
                part.origins.pop();
            }
            "parts-twice" => return Ok(vec![part.clone(), part]),
            _ => {}
        }
        Ok(vec![part])
    }
}

impl validator::Guest for Hostile {
    fn validate(batch: Rows) -> Result<Vec<Note>, Failure> {
        let what = what();
        misbehave(&what)?;
        let note = |row| Note {
            row,
            severity: Severity::Warning,
            message: "odd".into(),
        };
        Ok(match what.as_str() {
            "note-nowhere" => vec![note(batch.count)],
            "note" => vec![note(batch.count - 1)],
            _ => vec![],
        })
    }
}

impl router::Guest for Hostile {
    fn route(request: router::RequestHead) -> Result<router::Decision, Failure> {
        let what = what();
        misbehave(&what)?;
        let header = |name: &str, value: &str| router::Header {
            name: name.into(),
            value: value.into(),
        };
        Ok(match what.as_str() {
            "status-fine" => router::Decision::Refuse(router::Refusal {
                status: 200,
                message: String::new(),
            }),
            "refuse" => router::Decision::Refuse(router::Refusal {
                status: 403,
                message: request.path,
            }),
            "header-split" => router::Decision::Service(vec![header("x-a", "1\r\nx-b: 2")]),
            "header-name" => router::Decision::Service(vec![header("x a", "1")]),
            "header-many" => router::Decision::Monolith(vec![header("x", "1"); 1000]),
            "header" => router::Decision::Service(vec![header("x-user", &request.client)]),
            _ => router::Decision::ByStrategy,
        })
    }
}

#[cfg(target_arch = "wasm32")]
mod export {
    use super::Hostile;

    banyan_rule::bindings::lifecycle::export_lifecycle!(
        Hostile with_types_in banyan_rule::bindings::lifecycle
    );
    banyan_rule::bindings::resolver::export_resolver_part!(
        Hostile with_types_in banyan_rule::bindings::resolver
    );
    banyan_rule::bindings::transformer::export_transformer_part!(
        Hostile with_types_in banyan_rule::bindings::transformer
    );
    banyan_rule::bindings::validator::export_validator_part!(
        Hostile with_types_in banyan_rule::bindings::validator
    );
    banyan_rule::bindings::router::export_router_part!(
        Hostile with_types_in banyan_rule::bindings::router
    );
}

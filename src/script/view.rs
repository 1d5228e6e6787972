//! The conflict, the rows and the request as scripts see them.
//!
//! A script gets *handles*: they hold no data and copy none. What they stand for lies in the batch
//! that the caller lent, reached through a scoped thread-local for as long as the call lasts. A
//! cell becomes a script's value when it is read, and only then.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rhai::{Dynamic, Engine, EvalAltResult, FuncRegistration, ImmutableString, Map};
use scoped_tls::scoped_thread_local;

use crate::data::{Row, Value};
use crate::rule::{Conflict, Direction, RequestHead, RuleTable, nearest};

use super::convert::{from_script, to_script};
use super::types::{TimestampUtc, raise};

scoped_thread_local!(pub(super) static CONFLICT: Conflict);
scoped_thread_local!(pub(super) static ROW: Row);
scoped_thread_local!(pub(super) static COLUMNS: Columns);
scoped_thread_local!(pub(super) static REQUEST: RequestHead);

/// The table of the rows of a call, with its columns by name.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) table: RuleTable,
    names: Vec<ImmutableString>,
    index: Option<HashMap<String, usize>>,
}

/// Columns up to which comparing names one by one is faster than hashing.
const SCANNED_MAX: usize = 16;

impl Columns {
    pub(super) fn of(table: &RuleTable) -> Self {
        let names: Vec<ImmutableString> = table
            .columns
            .iter()
            .map(|c| c.name.as_str().into())
            .collect();
        let index = (names.len() > SCANNED_MAX).then(|| {
            names
                .iter()
                .enumerate()
                .map(|(i, n)| (n.to_string(), i))
                .collect()
        });
        Self {
            table: table.clone(),
            names,
            index,
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.names.iter().position(|n| n.as_str() == name),
        }
    }

    /// What is wrong with a name that is no column.
    pub(super) fn unknown(&self, name: &str) -> String {
        unknown_column(&self.table, name)
    }
}

pub(super) fn unknown_column(table: &RuleTable, name: &str) -> String {
    let near = nearest(name, table.columns.iter().map(|c| c.name.as_str()))
        .map_or_else(String::new, |n| format!("; did you mean {n:?}?"));
    format!("table {} has no column {name:?}{near}", table.name)
}

/// The conflict of this call.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConflictHandle;

/// One of the rows of this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowHandle {
    Base,
    Source,
    Target,
    /// The row to transform or to validate.
    Given,
}

/// The request of this call.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestHandle;

type Answer<T> = Result<T, Box<EvalAltResult>>;

impl RowHandle {
    /// The row and its table; an error outside of a call.
    fn with<T>(self, f: impl FnOnce(&Columns, &Row) -> Answer<T>) -> Answer<T> {
        if !COLUMNS.is_set() {
            return raise("this row is gone");
        }
        COLUMNS.with(|columns| {
            if self == Self::Given {
                return if ROW.is_set() {
                    ROW.with(|row| f(columns, row))
                } else {
                    raise("this row is gone")
                };
            }
            if !CONFLICT.is_set() {
                return raise("this row is gone");
            }
            CONFLICT.with(|conflict| {
                let row = match self {
                    Self::Base => conflict.base.as_ref(),
                    Self::Source => conflict.source.row.as_ref(),
                    _ => conflict.target.row.as_ref(),
                };
                row.map_or_else(|| raise("this row is gone"), |row| f(columns, row))
            })
        })
    }

    fn get(self, name: &str) -> Answer<Dynamic> {
        self.with(
            |columns, row| match columns.find(name).and_then(|i| row.get(i)) {
                Some(value) => Ok(to_script(value)),
                None => raise(columns.unknown(name)),
            },
        )
    }

    /// The whole row, copied.
    pub(super) fn row(self) -> Option<Row> {
        self.with(|_, row| Ok(row.clone())).ok()
    }

    fn to_map(self) -> Answer<Map> {
        self.with(|columns, row| Ok(map_of(columns, row)))
    }

    fn copied(self) -> Answer<NewRow> {
        self.with(|_, row| Ok(NewRow(row.clone())))
    }
}

/// A row that a script makes: a copy of another in which columns are set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NewRow(pub(super) Row);

impl NewRow {
    fn columns<T>(f: impl FnOnce(&Columns) -> Answer<T>) -> Answer<T> {
        if COLUMNS.is_set() {
            COLUMNS.with(f)
        } else {
            raise("this row is gone")
        }
    }

    fn get(&self, name: &str) -> Answer<Dynamic> {
        Self::columns(
            |columns| match columns.find(name).and_then(|i| self.0.get(i)) {
                Some(value) => Ok(to_script(value)),
                None => raise(columns.unknown(name)),
            },
        )
    }

    fn set(&mut self, name: &str, value: Dynamic) -> Answer<()> {
        let Some(i) = Self::columns(|columns| Ok(columns.find(name)))? else {
            return Self::columns(|columns| raise(columns.unknown(name)));
        };
        let value = from_script(value).or_else(|e| raise(format!("column {name}: {e}")))?;
        if let Some(cell) = self.0.get_mut(i) {
            *cell = value;
        }
        Ok(())
    }

    fn merged(mut self, by: Map) -> Answer<Self> {
        for (name, value) in by {
            self.set(&name, value)?;
        }
        Ok(self)
    }

    fn to_map(&self) -> Answer<Map> {
        Self::columns(|columns| Ok(map_of(columns, &self.0)))
    }
}

fn map_of(columns: &Columns, row: &Row) -> Map {
    columns
        .names
        .iter()
        .zip(row)
        .map(|(name, value)| (name.as_str().into(), to_script(value)))
        .collect()
}

fn with_conflict<T>(f: impl FnOnce(&Conflict) -> T) -> Answer<T> {
    if CONFLICT.is_set() {
        Ok(CONFLICT.with(f))
    } else {
        raise("this conflict is gone")
    }
}

fn with_request<T>(f: impl FnOnce(&RequestHead) -> T) -> Answer<T> {
    if REQUEST.is_set() {
        Ok(REQUEST.with(f))
    } else {
        raise("this request is gone")
    }
}

fn time(us: Option<i64>) -> Dynamic {
    us.map_or(Dynamic::UNIT, |us| Dynamic::from(TimestampUtc(us)))
}

fn side(handle: RowHandle, row: Option<&Row>) -> Dynamic {
    row.map_or(Dynamic::UNIT, |_| Dynamic::from(handle))
}

/// Names of the columns in which two rows differ.
fn differences(a: RowHandle, b: RowHandle) -> Answer<rhai::Array> {
    let other = b.row();
    a.with(|columns, row| {
        let Some(other) = &other else {
            return raise("this row is gone");
        };
        Ok(columns
            .names
            .iter()
            .zip(row.iter().zip(other))
            .filter(|(_, (a, b))| a != b)
            .map(|(name, _)| Dynamic::from(name.clone()))
            .collect())
    })
}

/// What a conflict can be asked.
pub(super) const CONFLICT_PROPERTIES: [&str; 9] = [
    "base",
    "base_known",
    "direction",
    "kind",
    "later",
    "source",
    "source_committed",
    "target",
    "target_committed",
];
/// What a request can be asked without an argument.
pub(super) const REQUEST_PROPERTIES: [&str; 5] = ["client", "method", "path", "query", "service"];

/// The settings: read-only in all their parts, which a map handed to a function is not.
#[derive(Clone, Debug)]
pub(super) struct Settings(pub(super) Arc<Map>);

impl Settings {
    fn get(&self, name: &str) -> Answer<Dynamic> {
        match self.0.get(name) {
            Some(value) => Ok(value.clone()),
            None => {
                let near = nearest(name, self.0.keys().map(std::ops::Deref::deref))
                    .map_or_else(String::new, |n| format!("; did you mean {n:?}?"));
                raise(format!(
                    "there is no setting {name:?}{near}; ask with `\"{name}\" in settings`"
                ))
            }
        }
    }
}

fn settings(engine: &mut Engine) {
    type S = Settings;
    // Rhai writes back what a method was called on (`settings.list.len()`), in case it changed.
    // Were the function not marked as pure, it would refuse that for a constant without a look.
    FuncRegistration::new_index_setter()
        .with_purity(true)
        .register_into_engine(
            engine,
            |s: &mut S, name: ImmutableString, value: Dynamic| -> Answer<()> {
                let before = s.0.get(name.as_str());
                if before.is_some_and(|before| format!("{before:?}") == format!("{value:?}")) {
                    return Ok(());
                }
                raise(format!(
                    "settings are constant; {name:?} cannot be changed: change a copy, let mine = \
                     settings.{name}"
                ))
            },
        );
    engine
        .register_type_with_name::<S>("settings")
        .register_fn("to_string", |_: &mut S| "settings")
        .register_fn("to_debug", |_: &mut S| "settings")
        .register_indexer_get(|s: &mut S, name: ImmutableString| s.get(&name))
        .register_get("tag", |s: &mut S| s.get("tag"))
        .register_fn("contains", |s: &mut S, name: &str| s.0.contains_key(name))
        .register_fn("keys", |s: &mut S| {
            s.0.keys()
                .map(|k| Dynamic::from(k.as_str().to_owned()))
                .collect::<rhai::Array>()
        })
        .register_fn("to_map", |s: &mut S| Map::clone(&s.0));
}

/// The values that verdicts are written with.
#[derive(Clone, Debug)]
pub(super) struct Words {
    pub(super) source: ImmutableString,
    pub(super) target: ImmutableString,
    pub(super) delete_row: ImmutableString,
}

impl Words {
    pub(super) fn new() -> Self {
        Self {
            source: "source".into(),
            target: "target".into(),
            delete_row: "delete".into(),
        }
    }
}

/// Registers the handles, for the script with this text.
pub(super) fn register(engine: &mut Engine, words: &Words, script: &str) {
    conflict(engine, words);
    row(engine, script);
    request(engine);
    settings(engine);
}

fn conflict(engine: &mut Engine, words: &Words) {
    type C = ConflictHandle;
    let (source, target) = (words.source.clone(), words.target.clone());
    let (forward, backward) = (
        ImmutableString::from("forward"),
        ImmutableString::from("backward"),
    );
    let kinds: HashMap<&'static str, ImmutableString> = crate::rule::ConflictKind::ALL
        .iter()
        .map(|k| (k.as_str(), ImmutableString::from(k.as_str())))
        .collect();
    for (name, handle) in [
        ("base", RowHandle::Base),
        ("source", RowHandle::Source),
        ("target", RowHandle::Target),
    ] {
        // After `conflict.source.copy()` Rhai puts the row back, in case the method changed it; not
        // to find a setter costs it 2 µs.
        engine.register_set(
            name,
            move |_: &mut C, row: RowHandle| {
                if row == handle { Ok(()) } else { fixed() }
            },
        );
        engine.register_set(name, |_: &mut C, _: Dynamic| fixed());
    }
    engine
        .register_type_with_name::<C>("conflict")
        .register_fn("to_string", |_: &mut C| "conflict")
        .register_fn("to_debug", |_: &mut C| "conflict")
        .register_get("source", |_: &mut C| {
            with_conflict(|c| side(RowHandle::Source, c.source.row.as_ref()))
        })
        .register_get("target", |_: &mut C| {
            with_conflict(|c| side(RowHandle::Target, c.target.row.as_ref()))
        })
        .register_get("base", |_: &mut C| {
            with_conflict(|c| side(RowHandle::Base, c.base.as_ref().filter(|_| c.base_known)))
        })
        .register_get("base_known", |_: &mut C| with_conflict(|c| c.base_known))
        .register_get("source_committed", |_: &mut C| {
            with_conflict(|c| time(c.source.committed_us))
        })
        .register_get("target_committed", |_: &mut C| {
            with_conflict(|c| time(c.target.committed_us))
        })
        .register_get("later", move |_: &mut C| {
            with_conflict(|c| match (c.source.committed_us, c.target.committed_us) {
                (Some(s), Some(t)) if s > t => Dynamic::from(source.clone()),
                (Some(s), Some(t)) if s < t => Dynamic::from(target.clone()),
                _ => Dynamic::UNIT,
            })
        })
        .register_get("direction", move |_: &mut C| {
            with_conflict(|c| match c.direction {
                Direction::Forward => forward.clone(),
                Direction::Backward => backward.clone(),
            })
        })
        .register_get("kind", move |_: &mut C| {
            with_conflict(|c| kinds.get(c.kind.as_str()).cloned().unwrap_or_default())
        });
}

/// Names of properties that get a getter of their own.
const PROPERTIES_MAX: usize = 256;

/// The names that follow a dot and are not called, anywhere in the text.
fn properties(script: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    script
        .split('.')
        .skip(1)
        .filter_map(|after| {
            let end = after.find(|c| !word(c)).unwrap_or(after.len());
            let (name, rest) = after.split_at(end);
            let called = rest.trim_start().starts_with('(');
            (!name.is_empty() && !called).then_some(name)
        })
        .take(PROPERTIES_MAX)
        .collect()
}

fn fixed() -> Answer<()> {
    raise("a conflict cannot be changed; answer a changed copy of a row: let mine = row.copy()")
}

fn row(engine: &mut Engine, script: &str) {
    type R = RowHandle;
    // `row.email` works through the indexer as well, but only after Rhai has looked for a getter
    // and made an error of not finding one: 400 ns each time.
    for name in properties(script) {
        let [a, b, c, d, e, f] = [(); 6].map(|()| name.to_owned());
        engine
            .register_get(name, move |s: &mut Settings| s.get(&f))
            .register_get(name, move |r: &mut R| r.get(&a))
            .register_get(name, move |r: &mut NewRow| r.get(&b))
            // The common types apart: Rhai looks for the exact type first.
            .register_set(name, move |r: &mut NewRow, v: i64| r.set(&c, v.into()))
            .register_set(name, move |r: &mut NewRow, v: ImmutableString| {
                r.set(&d, v.into())
            })
            .register_set(name, move |r: &mut NewRow, v: Dynamic| r.set(&e, v));
    }
    new_row(engine);
    engine
        .register_type_with_name::<R>("row")
        .register_fn("to_string", |r: &mut R| shown(*r))
        .register_fn("to_debug", |r: &mut R| shown(*r))
        .register_indexer_get(|r: &mut R, name: ImmutableString| r.get(&name))
        // Rhai has a property `tag` on every value, which would hide a column of that name where
        // the script has no getter for it.
        .register_get("tag", |r: &mut R| r.get("tag"))
        .register_set("tag", |_: &mut R, _: Dynamic| read_only())
        .register_indexer_set(|_: &mut R, _: ImmutableString, _: Dynamic| read_only())
        .register_fn("to_map", |r: &mut R| r.to_map())
        .register_fn("copy", |r: &mut R| r.copied())
        .register_fn("merge", |r: &mut R, by: Map| r.copied()?.merged(by))
        .register_fn("columns", |r: &mut R| {
            r.with(|c, _| {
                Ok(c.names
                    .iter()
                    .cloned()
                    .map(Dynamic::from)
                    .collect::<rhai::Array>())
            })
        })
        .register_fn("table", |r: &mut R| r.with(|c, _| Ok(c.table.name.clone())))
        .register_fn("contains", |r: &mut R, name: &str| {
            r.with(|c, _| Ok(c.find(name).is_some()))
        })
        .register_fn("differences", |a: &mut R, b: R| differences(*a, b))
        .register_fn("==", |a: &mut R, b: R| same(*a, b))
        .register_fn("!=", |a: &mut R, b: R| same(*a, b).map(|same| !same));
}

fn new_row(engine: &mut Engine) {
    type N = NewRow;
    engine
        .register_type_with_name::<N>("new_row")
        .register_fn("to_string", |r: &mut N| shown_row(&r.0))
        .register_fn("to_debug", |r: &mut N| shown_row(&r.0))
        .register_indexer_get(|r: &mut N, name: ImmutableString| r.get(&name))
        .register_indexer_set(|r: &mut N, name: ImmutableString, v: Dynamic| r.set(&name, v))
        .register_get("tag", |r: &mut N| r.get("tag"))
        .register_set("tag", |r: &mut N, v: Dynamic| r.set("tag", v))
        .register_fn("to_map", |r: &mut N| r.to_map())
        .register_fn("copy", |r: &mut N| r.clone())
        .register_fn("merge", |r: &mut N, by: Map| r.clone().merged(by))
        .register_fn("contains", |_: &mut N, name: &str| {
            N::columns(|c| Ok(c.find(name).is_some()))
        })
        .register_fn("==", |a: &mut N, b: N| *a == b)
        .register_fn("!=", |a: &mut N, b: N| *a != b);
}

fn shown_row(row: &Row) -> Answer<String> {
    NewRow::columns(|columns| Ok(crate::rule::cases::show_row(&columns.table, row)))
}

fn read_only() -> Answer<()> {
    raise("this row cannot be changed; change a copy: let mine = row.copy()")
}

fn same(a: RowHandle, b: RowHandle) -> Answer<bool> {
    let other = b.row();
    a.with(|_, row| Ok(Some(row) == other.as_ref()))
}

fn shown(handle: RowHandle) -> Answer<String> {
    handle.with(|columns, row| Ok(crate::rule::cases::show_row(&columns.table, row)))
}

fn request(engine: &mut Engine) {
    type Q = RequestHandle;
    let text = |s: &str| ImmutableString::from(s);
    engine
        .register_type_with_name::<Q>("request")
        .register_fn("to_string", |_: &mut Q| {
            with_request(|r| format!("{} {}", r.method, r.path))
        })
        .register_fn("to_debug", |_: &mut Q| {
            with_request(|r| format!("{} {}", r.method, r.path))
        })
        .register_get("method", move |_: &mut Q| with_request(|r| text(&r.method)))
        .register_get("path", move |_: &mut Q| with_request(|r| text(&r.path)))
        .register_get("query", move |_: &mut Q| with_request(|r| text(&r.query)))
        .register_get("client", move |_: &mut Q| with_request(|r| text(&r.client)))
        .register_get("service", move |_: &mut Q| {
            with_request(|r| text(&r.service))
        })
        .register_fn("header", |_: &mut Q, name: &str| {
            with_request(|r| first(&r.headers, &name.to_lowercase()))
        })
        .register_fn("cookie", |_: &mut Q, name: &str| {
            with_request(|r| cookie(r, name))
        })
        .register_fn("parameter", |_: &mut Q, name: &str| {
            with_request(|r| pair(&r.query, '&', name))
        });
}

fn first(headers: &[(String, String)], name: &str) -> Dynamic {
    headers
        .iter()
        .find(|(n, _)| n == name)
        .map_or(Dynamic::UNIT, |(_, v)| {
            Dynamic::from(ImmutableString::from(v.as_str()))
        })
}

fn cookie(request: &RequestHead, name: &str) -> Dynamic {
    request
        .headers
        .iter()
        .filter(|(n, _)| n == "cookie")
        .map(|(_, cookies)| pair(cookies, ';', name))
        .find(|found| !found.is_unit())
        .unwrap_or(Dynamic::UNIT)
}

/// The value of `name=value` in a list; not decoded.
fn pair(list: &str, between: char, name: &str) -> Dynamic {
    list.split(between)
        .find_map(|item| {
            let (key, value) = item.trim().split_once('=').unwrap_or((item.trim(), ""));
            (key == name).then(|| Dynamic::from(ImmutableString::from(value)))
        })
        .unwrap_or(Dynamic::UNIT)
}

/// The cells of one column in the rows that this conflict knows.
pub(super) fn known_cells(
    conflict: &Conflict,
    column: usize,
) -> impl Iterator<Item = &Value> + Clone {
    [
        conflict.source.row.as_ref(),
        conflict.target.row.as_ref(),
        conflict.base.as_ref().filter(|_| conflict.base_known),
    ]
    .into_iter()
    .flatten()
    .filter_map(move |row| row.get(column))
}

//! Time and memory of a running call.
//!
//! **Operations** are counted here: Rhai's own count forgets those of functions that are called
//! back by `map`, `reduce` and the like. **Time** is looked at every 16 operations: one operation
//! may copy a text of the largest size.
//!
//! **Memory.** Rhai limits the size of a value where an operator, a call or a literal made it, but
//! not where an element is assigned: `a[0] = a` nests without end, `m[k] = m` doubles. So whenever
//! a script reaches for a variable that holds an array or a map, its whole size and depth are
//! looked at; and whenever it defines a variable, what all variables of all running functions hold
//! is added up. (There is no other way to a value that grows: closures and `this` are off.) What
//! one expression makes and drops again is bounded by the size limits of the engine.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Instant;

use rhai::{Dynamic, Engine, EvalAltResult, Position, Scope};

use super::diagnose::Ended;
use super::engine::{ARRAY_MAX, DEPTH_MAX};
use super::spec::Limits;
use super::types::{Bytes, DecimalNumber, Json};
use super::view::{NewRow, RowHandle};

/// Operations between two looks at the clock.
const LOOK_EVERY: u64 = 16;

/// Containers of more elements than this are looked into at every fourth access only.
const LOOKED_INTO_ALWAYS_MAX: usize = 64;

thread_local! {
    /// When the running call must have ended.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
    /// What the variables of each running function held when one was last defined there.
    static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    /// Operations in this row.
    static OPERATIONS: Cell<u64> = const { Cell::new(0) };
    /// Accesses to large containers in this row.
    static ACCESSES: Cell<u32> = const { Cell::new(0) };
}

/// A running call; ends when dropped.
#[derive(Debug)]
pub(super) struct Running(Option<Instant>);

impl Running {
    /// Starts the clock of a call.
    pub(super) fn until(deadline: Instant) -> Self {
        Self(DEADLINE.replace(Some(deadline)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        DEADLINE.set(self.0);
    }
}

/// Begins a row: nothing is used up yet.
pub(super) fn begin_row() {
    OPERATIONS.set(0);
    HELD.with_borrow_mut(Vec::clear);
    ACCESSES.set(0);
}

/// Whether the running call must end.
pub(super) fn is_over() -> bool {
    DEADLINE
        .get()
        .is_some_and(|deadline| Instant::now() >= deadline)
}

fn end(why: Ended) -> Box<EvalAltResult> {
    EvalAltResult::ErrorTerminated(Dynamic::from(why), Position::NONE).into()
}

/// Lets the engine count operations and look at the clock and at the variables.
#[expect(
    deprecated,
    reason = "Rhai marks its volatile functions so; the version is pinned"
)]
pub(super) fn watch(engine: &mut Engine, limits: &Limits) {
    let operations_max = limits.operations_per_row.max(1);
    engine.on_progress(move |_| {
        let operations = OPERATIONS.get() + 1;
        OPERATIONS.set(operations);
        if operations > operations_max {
            return Some(Dynamic::from(Ended::Operations));
        }
        (operations.is_multiple_of(LOOK_EVERY) && is_over()).then(|| Dynamic::from(Ended::Deadline))
    });
    let most = limits.memory_bytes();
    engine.on_def_var(move |is_running, _, context| {
        if is_running && held(context.call_level(), context.scope()) > most {
            return Err(end(Ended::Memory));
        }
        Ok(true)
    });
    watch_variables(engine, limits, Globals::new());
}

/// What every function sees by name: `settings`, the words of rules, the script's constants.
pub(super) type Globals = HashMap<String, Dynamic>;

/// Lets the engine look into variables, and gives it the globals. As constants of the compiler
/// they would be put into the text, where Rhai panics at an assignment to a literal; as variables
/// of a module an assignment to a part of them would be lost in silence. From here they are
/// read-only in all their parts.
#[expect(
    deprecated,
    reason = "Rhai marks its volatile functions so; the version is pinned"
)]
pub(super) fn watch_variables(engine: &mut Engine, limits: &Limits, globals: Globals) {
    let text_most = limits.text_bytes();
    engine.on_var(move |name, index, context| {
        let scope = context.scope();
        // The newest variable comes first, and has the index 1; 0 is unknown.
        let value = match index.checked_sub(1) {
            None => scope.get(name),
            Some(before) => scope.iter_raw().nth(before).map(|(_, _, value)| value),
        };
        match value {
            Some(value) if value.is_array() || value.is_map() => {
                look_into(value, text_most).map(|()| None)
            }
            Some(_) => Ok(None),
            None => Ok(globals.get(name).cloned()),
        }
    });
}

/// What all running functions hold, this one at `level`.
fn held(level: usize, scope: &Scope<'_>) -> usize {
    let here = scope
        .iter_raw()
        .map(|(_, _, value)| Size::of(value).bytes)
        .sum();
    HELD.with_borrow_mut(|levels| {
        levels.resize(level + 1, 0);
        levels[level] = here;
        levels.iter().sum()
    })
}

/// Ends the call when an array or map has become too large or too deep.
fn look_into(value: &Dynamic, text_most: usize) -> Result<(), Box<EvalAltResult>> {
    let len = if let Ok(items) = value.as_array_ref() {
        items.len()
    } else {
        value.as_map_ref().map_or(0, |map| map.len())
    };
    if len > LOOKED_INTO_ALWAYS_MAX {
        let accesses = ACCESSES.get().wrapping_add(1);
        ACCESSES.set(accesses);
        if !accesses.is_multiple_of(4) {
            return Ok(());
        }
    }
    let size = Size::of(value);
    if size.too_deep {
        return Err(end(Ended::Depth));
    }
    if size.elements > ARRAY_MAX || size.text_bytes > text_most {
        return Err(end(Ended::Size));
    }
    Ok(())
}

/// The size of a value with everything inside it.
#[derive(Default)]
struct Size {
    bytes: usize,
    text_bytes: usize,
    elements: usize,
    too_deep: bool,
}

impl Size {
    fn of(value: &Dynamic) -> Self {
        let mut size = Self::default();
        if !(value.is_int() || value.is_unit() || value.is::<RowHandle>()) {
            size.add(value, 0);
        }
        size
    }

    fn add(&mut self, value: &Dynamic, depth: usize) {
        // What is over a limit need not be counted to its end.
        if depth > DEPTH_MAX || self.elements > 4 * ARRAY_MAX {
            self.too_deep |= depth > DEPTH_MAX;
            return;
        }
        if let Ok(text) = value.as_immutable_string_ref() {
            self.bytes += text.len();
            self.text_bytes += text.len();
        } else if value.is_array() {
            if let Ok(items) = value.as_array_ref() {
                self.elements += items.len();
                self.bytes += items.len() * size_of::<Dynamic>();
                for item in items.iter() {
                    self.add(item, depth + 1);
                }
            }
        } else if value.is_map() {
            if let Ok(map) = value.as_map_ref() {
                self.elements += map.len();
                for (name, item) in map.iter() {
                    self.bytes += size_of::<Dynamic>() + 32 + name.len();
                    self.add(item, depth + 1);
                }
            }
        } else {
            self.add_own_type(value);
        }
    }

    fn add_own_type(&mut self, value: &Dynamic) {
        let mut text = 0;
        if let Some(row) = value.read_lock::<NewRow>() {
            self.elements += row.0.len();
            self.bytes += row.0.len() * size_of::<crate::data::Value>();
            text = row.0.iter().map(crate::data::Value::heap_bytes).sum();
        } else if let Some(bytes) = value.read_lock::<Bytes>() {
            text = bytes.0.len();
        } else if let Some(json) = value.read_lock::<Json>() {
            text = json.0.len();
        } else if let Some(decimal) = value.read_lock::<DecimalNumber>() {
            text = decimal.0.as_str().len();
        }
        self.bytes += text;
        self.text_bytes += text;
    }
}

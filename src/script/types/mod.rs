//! The types of cells that Rhai has no type for: decimals, dates, times, UUIDs, bytes, JSON.
//!
//! They are values: compared with `==`, `<` and so on, printed as text, written into rows as they
//! are. Comparing a time with `()` is an error, not "older": an unknown commit time must be
//! asked for first.

mod decimal;
mod other;
mod time;

use rhai::{Dynamic, Engine, EvalAltResult};

pub(super) use decimal::DecimalNumber;
pub(super) use other::{Bytes, Json, Opaque, Uuid};
pub(super) use time::{Date, TimeOfDay, Timestamp, TimestampUtc};

/// What a registered function answers.
type Answer<T> = Result<T, Box<EvalAltResult>>;

/// An error of a registered function.
pub(super) fn raise<T>(message: impl Into<String>) -> Answer<T> {
    Err(message.into().into())
}

/// Registers all types.
pub(super) fn register(engine: &mut Engine) {
    decimal::register(engine);
    time::register(engine);
    other::register(engine);
}

/// The text of a value of one of these types; `None` for any other.
pub(super) fn shown_as(value: &Dynamic) -> Option<String> {
    macro_rules! text {
        ($($own:ty),* $(,)?) => {
            $(if let Some(v) = value.read_lock::<$own>() {
                return Some(v.to_string());
            })*
        };
    }
    text!(
        DecimalNumber,
        TimestampUtc,
        Timestamp,
        Date,
        TimeOfDay,
        Json,
        Uuid,
        Bytes,
        Opaque
    );
    None
}

/// Registers `to_string` and `to_debug`, which printing and interpolation use.
fn shown<T: Clone + Send + Sync + 'static + std::fmt::Display>(engine: &mut Engine, name: &str) {
    engine
        .register_type_with_name::<T>(name)
        .register_fn("to_string", |v: &mut T| v.to_string())
        .register_fn("to_debug", |v: &mut T| v.to_string());
}

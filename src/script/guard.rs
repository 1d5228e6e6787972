//! Functions of Rhai whose result can be much larger than what they are given.
//!
//! Rhai looks at a value's size after it was made. These look first, so that one call can take
//! neither the memory nor the time that the limits forbid.

use rhai::{Array, Engine, EvalAltResult, ImmutableString, Position};

use super::engine::ARRAY_MAX;
use super::spec::Limits;

type Answer<T> = Result<T, Box<EvalAltResult>>;

fn too_large<T>(what: &str) -> Answer<T> {
    Err(EvalAltResult::ErrorDataTooLarge(what.to_owned(), Position::NONE).into())
}

fn replaced(text: &str, find: &str, by: &str, most: usize) -> Answer<ImmutableString> {
    let found = text.matches(find).count();
    let grows = found.saturating_mul(by.len());
    if text
        .len()
        .saturating_sub(found.saturating_mul(find.len()))
        .saturating_add(grows)
        > most
    {
        return too_large("Length of string");
    }
    Ok(text.replace(find, by).into())
}

fn pieces<'a>(pieces: impl Iterator<Item = &'a str>) -> Answer<Array> {
    let mut out = Array::new();
    for piece in pieces {
        if out.len() == ARRAY_MAX {
            return too_large("Size of array/BLOB");
        }
        out.push(ImmutableString::from(piece).into());
    }
    Ok(out)
}

/// Puts the guarded forms before those of the packages.
pub(super) fn register(engine: &mut Engine, limits: &Limits) {
    let most = limits.text_bytes();
    let ch = |c: char| c.to_string();
    let count = |n: i64| usize::try_from(n).unwrap_or(0);
    engine
        .register_fn(
            "replace",
            move |text: &mut ImmutableString, find: &str, by: &str| {
                *text = replaced(text, find, by, most)?;
                Ok::<(), Box<EvalAltResult>>(())
            },
        )
        .register_fn(
            "replace",
            move |text: &mut ImmutableString, find: char, by: &str| {
                *text = replaced(text, &ch(find), by, most)?;
                Ok::<(), Box<EvalAltResult>>(())
            },
        )
        .register_fn("to_chars", |text: &mut ImmutableString| {
            if text.len() > ARRAY_MAX {
                return too_large("Size of array/BLOB");
            }
            Ok(text
                .chars()
                .map(rhai::Dynamic::from_char)
                .collect::<Array>())
        })
        .register_fn("split", |text: &mut ImmutableString| {
            pieces(text.split_whitespace())
        })
        .register_fn("split", |text: &mut ImmutableString, by: &str| {
            pieces(text.split(by))
        })
        .register_fn("split", |text: &mut ImmutableString, by: char| {
            pieces(text.split(by))
        })
        .register_fn(
            "split",
            move |text: &mut ImmutableString, by: &str, n: i64| {
                pieces(text.splitn(count(n).clamp(1, ARRAY_MAX), by))
            },
        )
        .register_fn(
            "split",
            move |text: &mut ImmutableString, by: char, n: i64| {
                pieces(text.splitn(count(n).clamp(1, ARRAY_MAX), by))
            },
        )
        .register_fn("split_rev", |text: &mut ImmutableString, by: &str| {
            pieces(text.rsplit(by))
        })
        .register_fn("split_rev", |text: &mut ImmutableString, by: char| {
            pieces(text.rsplit(by))
        })
        .register_fn(
            "split_rev",
            move |text: &mut ImmutableString, by: &str, n: i64| {
                pieces(text.rsplitn(count(n).clamp(1, ARRAY_MAX), by))
            },
        )
        .register_fn(
            "split_rev",
            move |text: &mut ImmutableString, by: char, n: i64| {
                pieces(text.rsplitn(count(n).clamp(1, ARRAY_MAX), by))
            },
        );
}

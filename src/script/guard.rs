//! Functions of Rhai whose result can be much larger than what they are given.
//!
//! Rhai looks at a value's size after it was made. These look first, so that one call can take
//! neither the memory nor the time that the limits forbid. Rhai's own way to print arrays and maps
//! takes half a second for 10,000 elements.

use rhai::{Array, Dynamic, Engine, EvalAltResult, ImmutableString, Map, Position};

use super::convert;
use super::engine::ARRAY_MAX;
use super::spec::Limits;
use super::types::{self, raise};

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

/// A value as text, as Rhai prints it inside of an array or map.
fn print(value: &Dynamic, out: &mut String, most: usize) -> Answer<()> {
    if out.len() > most {
        return too_large("Length of string");
    }
    if let Ok(items) = value.as_array_ref() {
        out.push('[');
        for (i, item) in items.iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            print(item, out, most)?;
        }
        out.push(']');
    } else if let Ok(map) = value.as_map_ref() {
        out.push_str("#{");
        for (i, (name, item)) in map.iter().enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            out.push_str(&format!("{name:?}: "));
            print(item, out, most)?;
        }
        out.push('}');
    } else if let Ok(text) = value.as_immutable_string_ref() {
        out.push_str(&format!("{:?}", text.as_str()));
    } else if let Some(text) = types::shown_as(value) {
        out.push_str(&text);
    } else {
        out.push_str(&format!("{value:?}"));
    }
    Ok(())
}

fn printed(value: &Dynamic, most: usize) -> Answer<ImmutableString> {
    let mut out = String::new();
    print(value, &mut out, most)?;
    Ok(out.into())
}

/// Puts the guarded forms before those of the packages.
pub(super) fn register(engine: &mut Engine, limits: &Limits) {
    let most = limits.text_bytes();
    let ch = |c: char| c.to_string();
    let count = |n: i64| usize::try_from(n).unwrap_or(0);
    for name in ["to_string", "to_debug", "print", "debug"] {
        engine
            .register_fn(name, move |v: Array| printed(&v.into(), most))
            .register_fn(name, move |v: Map| printed(&v.into(), most));
    }
    engine.register_fn("to_json", |v: Map| {
        convert::script_to_json(&v.into())
            .map(|json| json.to_string())
            .or_else(raise)
    });
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

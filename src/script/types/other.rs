//! Bytes, UUIDs, JSON, and what only passes through.

use std::fmt;
use std::sync::Arc;

use rhai::{Dynamic, Engine};

use crate::data::Value;
use crate::rule::notation;
use crate::script::convert;

use super::{raise, shown};

/// Bytes. Not Rhai's blob, whose size limit is that of arrays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::script) struct Bytes(pub(in crate::script) Arc<[u8]>);

/// A UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::script) struct Uuid(pub(in crate::script) [u8; 16]);

/// JSON text as the engine gave it; looked into only when asked.
#[derive(Clone, Debug)]
pub(in crate::script) struct Json(pub(in crate::script) Arc<str>);

/// A cell of a type that scripts cannot look into: it can be passed on and compared.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::script) struct Opaque(pub(in crate::script) Value);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&notation::format_hex(&self.0))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::Uuid(self.0).fmt(f)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Two JSON texts are the same when they mean the same: order of keys and blanks do not count.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        fn parse(json: &Json) -> Option<serde_json::Value> {
            serde_json::from_str(&json.0).ok()
        }
        self.0 == other.0 || matches!((parse(self), parse(other)), (Some(a), Some(b)) if a == b)
    }
}

fn compared<T: Clone + Send + Sync + 'static + PartialEq>(engine: &mut Engine) {
    engine
        .register_fn("==", |a: &mut T, b: T| *a == b)
        .register_fn("!=", |a: &mut T, b: T| *a != b);
}

fn parse(json: &Json) -> Result<serde_json::Value, Box<rhai::EvalAltResult>> {
    serde_json::from_str(&json.0).or_else(|e| raise(format!("the column holds no JSON: {e}")))
}

pub(super) fn register(engine: &mut Engine) {
    shown::<Bytes>(engine, "bytes");
    shown::<Uuid>(engine, "uuid");
    shown::<Json>(engine, "json");
    shown::<Opaque>(engine, "opaque");
    compared::<Bytes>(engine);
    compared::<Uuid>(engine);
    compared::<Json>(engine);
    compared::<Opaque>(engine);
    engine
        .register_fn("bytes", |hex: &str| match notation::parse_hex(hex) {
            Some(bytes) => Ok(Bytes(bytes.into())),
            None => raise(format!("{hex:?} is no hexadecimal")),
        })
        .register_fn("to_hex", |v: &mut Bytes| notation::format_hex(&v.0))
        .register_fn("len", |v: &mut Bytes| {
            i64::try_from(v.0.len()).unwrap_or(i64::MAX)
        })
        .register_get("len", |v: &mut Bytes| {
            i64::try_from(v.0.len()).unwrap_or(i64::MAX)
        })
        .register_fn("uuid", |text: &str| match notation::parse_uuid(text) {
            Some(uuid) => Ok(Uuid(uuid)),
            None => raise(format!("{text:?} is no UUID")),
        })
        .register_fn("parse", |v: &mut Json| {
            parse(v).map(|json| convert::json_to_script(&json))
        })
        .register_fn("parse_json", |text: &str| {
            parse(&Json(text.into())).map(|json| convert::json_to_script(&json))
        })
        .register_indexer_get(|v: &mut Json, key: &str| {
            Ok::<_, Box<rhai::EvalAltResult>>(
                parse(v)?
                    .get(key)
                    .map_or(Dynamic::UNIT, convert::json_to_script),
            )
        })
        .register_indexer_get(|v: &mut Json, index: i64| {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            Ok::<_, Box<rhai::EvalAltResult>>(
                parse(v)?
                    .get(index)
                    .map_or(Dynamic::UNIT, convert::json_to_script),
            )
        })
        .register_fn("json", |v: Dynamic| {
            convert::script_to_json(&v)
                .map(|json| Json(json.to_string().into()))
                .or_else(raise)
        });
}

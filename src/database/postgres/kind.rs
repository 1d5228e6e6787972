//! Which of Banyan's values a PostgreSQL type is; see [`Kind`].

/// How the values of a type are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `oid`
    Oid,
    /// `numeric`
    Numeric,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `text`, `character varying`, `character`, `name`
    Text,
    /// `bytea`
    Bytea,
    /// `date`
    Date,
    /// `time without time zone`
    Time,
    /// `timestamp without time zone`
    Timestamp,
    /// `timestamp with time zone`
    TimestampTz,
    /// `uuid`
    Uuid,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// Everything else: carried as the text that the server gives under fixed settings.
    Other,
}

impl Kind {
    /// Whether the type has values that no [`Value`](crate::data::Value) is.
    pub(super) fn has_more_than_is_carried(self) -> bool {
        matches!(self, Self::Timestamp | Self::TimestampTz)
    }

    /// Of a base type (domains resolved) by its object identifier; built-in ones never change.
    pub(super) fn of_oid(oid: u32) -> Self {
        match oid {
            16 => Self::Bool,
            21 => Self::Int2,
            23 => Self::Int4,
            20 => Self::Int8,
            26 => Self::Oid,
            1700 => Self::Numeric,
            700 => Self::Float4,
            701 => Self::Float8,
            25 | 1043 | 1042 | 19 => Self::Text,
            17 => Self::Bytea,
            1082 => Self::Date,
            1083 => Self::Time,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            2950 => Self::Uuid,
            114 => Self::Json,
            3802 => Self::Jsonb,
            _ => Self::Other,
        }
    }

    /// Of a type as `format_type` spells it: `numeric(10,2)`, `timestamp(3) with time zone`.
    pub(super) fn of_declared(declared: &str) -> Self {
        if declared.ends_with("[]") {
            return Self::Other;
        }
        let (head, rest) = declared
            .split_once('(')
            .map_or((declared, ""), |(head, rest)| {
                (head, rest.split_once(')').map_or("", |(_, rest)| rest))
            });
        match (head.trim(), rest.trim()) {
            ("boolean", _) => Self::Bool,
            ("smallint", _) => Self::Int2,
            ("integer", _) => Self::Int4,
            ("bigint", _) => Self::Int8,
            ("oid", _) => Self::Oid,
            ("numeric", _) => Self::Numeric,
            ("real", _) => Self::Float4,
            ("double precision", _) => Self::Float8,
            ("text" | "character varying" | "character" | "bpchar" | "name" | "citext", _) => {
                Self::Text
            }
            ("bytea", _) => Self::Bytea,
            ("date", _) => Self::Date,
            ("time without time zone", _) | ("time", "without time zone") => Self::Time,
            ("timestamp without time zone", _) | ("timestamp", "without time zone") => {
                Self::Timestamp
            }
            ("timestamp with time zone", _) | ("timestamp", "with time zone") => Self::TimestampTz,
            ("uuid", _) => Self::Uuid,
            ("json", _) => Self::Json,
            ("jsonb", _) => Self::Jsonb,
            _ => Self::Other,
        }
    }
}

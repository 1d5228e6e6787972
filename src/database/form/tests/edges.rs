//! Types of every engine, and the values at their edges.

mod more;

use crate::data::{OtherValue, Value};
use crate::database::Engine::{self, Mysql, Postgres, Sqlite};

/// A type, with values that it holds.
pub(super) struct Type {
    pub(super) engine: Engine,
    pub(super) declared: &'static str,
    /// Those that get into both other engines and back.
    pub(super) values: Vec<Value>,
    /// Those that one or both refuse.
    pub(super) refused: Vec<(Value, Vec<Engine>)>,
}

pub(super) fn int(v: i64) -> Value {
    Value::Int(v)
}

pub(super) fn dec(v: &str) -> Value {
    Value::Decimal(v.parse().unwrap())
}

pub(super) fn text(v: impl Into<String>) -> Value {
    Value::Text(v.into())
}

pub(super) fn json(v: &str) -> Value {
    Value::Json(v.to_owned())
}

pub(super) fn other(kind: &str, v: &str) -> Value {
    Value::Other(Box::new(OtherValue {
        kind: kind.to_owned(),
        bytes: v.as_bytes().to_vec(),
    }))
}

fn float(v: f64) -> Value {
    Value::Float(v)
}

fn bytes(v: &[u8]) -> Value {
    Value::Bytes(v.to_vec())
}

const DAY: i64 = 86_400_000_000;
/// 1 January 1, 31 December 9999.
const FIRST: i32 = -719_162;
const LAST: i32 = 2_932_896;
const NEVER: [i64; 2] = [i64::MIN, i64::MAX];
const UUID: [u8; 16] = [0x12, 0, 0xff, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xfe];

fn midnight(days: i32) -> i64 {
    i64::from(days) * DAY
}

fn of<const N: usize, const M: usize>(
    engine: Engine,
    declared: &'static str,
    values: [Value; N],
    refused: [(Value, &[Engine]); M],
) -> Type {
    Type {
        engine,
        declared,
        values: values.into(),
        refused: refused.into_iter().map(|(v, e)| (v, e.to_vec())).collect(),
    }
}

fn ints(engine: Engine, declared: &'static str, least: i64, most: i64) -> Type {
    of(
        engine,
        declared,
        [int(least), int(0), int(1), int(most)],
        [],
    )
}

fn texts(declared: &'static str, values: &[&str]) -> Type {
    Type {
        engine: Postgres,
        declared,
        values: values.iter().map(|v| text(*v)).collect(),
        refused: Vec::new(),
    }
}

pub(super) fn types() -> Vec<Type> {
    let mut types = postgres();
    types.extend(more::mysql());
    types.extend(more::sqlite());
    types
}

fn postgres() -> Vec<Type> {
    const BOTH: &[Engine] = &[Mysql, Sqlite];
    const M: &[Engine] = &[Mysql];
    const S: &[Engine] = &[Sqlite];
    let tenth = f64::from(0.1_f32);
    vec![
        of(
            Postgres,
            "boolean",
            [Value::Bool(false), Value::Bool(true)],
            [],
        ),
        ints(Postgres, "smallint", -32_768, 32_767),
        ints(Postgres, "integer", i32::MIN.into(), i32::MAX.into()),
        ints(Postgres, "bigint", i64::MIN, i64::MAX),
        ints(Postgres, "oid", 0, u32::MAX.into()),
        of(
            Postgres,
            "numeric(10,2)",
            [dec("0.00"), dec("-1.50"), dec("99999999.99"), dec("12.30")],
            [(dec("NaN"), M)],
        ),
        of(
            Postgres,
            "numeric",
            [
                dec("0"),
                dec("1.50"),
                dec("-0.000000000000000000000000000001"),
            ],
            [
                (dec("NaN"), M),
                (dec("Infinity"), M),
                (dec("-Infinity"), M),
                (dec("0.0000000000000000000000000000001"), M),
                (dec("1234567890123456789012345678901234567890"), M),
            ],
        ),
        of(
            Postgres,
            "numeric(5,-2)",
            [dec("0"), dec("-1234500")],
            [(dec("NaN"), M)],
        ),
        of(
            Postgres,
            "real",
            [
                float(0.0),
                float(tenth),
                float(-1.5),
                float(f64::from(f32::MAX)),
                float(f64::from(f32::from_bits(1))),
            ],
            [
                (float(f64::NAN), BOTH),
                (float(f64::INFINITY), M),
                (float(-0.0), BOTH),
            ],
        ),
        of(
            Postgres,
            "double precision",
            [
                float(0.0),
                float(0.1),
                float(0.1 + 0.2),
                float(f64::MAX),
                float(5e-324),
                float(1e15),
            ],
            [
                (float(f64::NAN), BOTH),
                (float(f64::NEG_INFINITY), M),
                (float(-0.0), BOTH),
            ],
        ),
        of(
            Postgres,
            "character varying(5)",
            [
                text(""),
                text("äöüß😀"),
                text("ab   "),
                text("1"),
                text("NULL"),
            ],
            [],
        ),
        of(
            Postgres,
            "character varying(5000)",
            [text("x".repeat(5000))],
            [],
        ),
        of(
            Postgres,
            "character(4)",
            [text("    "), text("ä😀  "), text("abcd")],
            [],
        ),
        of(Postgres, "character(300)", [text("x".repeat(300))], []),
        of(Postgres, "name", [text("ä".repeat(31))], []),
        of(
            Postgres,
            "text",
            [
                text(""),
                text("  x  "),
                text("1.50"),
                text("\u{1}\r\n\t'\"\\"),
            ],
            [],
        ),
        of(Postgres, "citext", [text("AbC")], []),
        of(
            Postgres,
            "bytea",
            [bytes(b""), bytes(&[0, 255]), bytes(&[7; 16])],
            [],
        ),
        of(
            Postgres,
            "date",
            [Value::Date(0), Value::Date(FIRST), Value::Date(LAST)],
            [
                (Value::Date(FIRST - 1), M),
                (Value::Date(LAST + 1), M),
                (Value::Date(i32::MAX), M),
                (Value::Date(i32::MIN), M),
                (Value::Date(-2_440_588), M),
                (Value::Date(2_145_042_905), M),
            ],
        ),
        of(
            Postgres,
            "time without time zone",
            [
                Value::Time(0),
                Value::Time(DAY - 1),
                Value::Time(DAY),
                Value::Time(500_000),
            ],
            [],
        ),
        of(
            Postgres,
            "time(3) without time zone",
            [Value::Time(1000)],
            [],
        ),
        of(
            Postgres,
            "timestamp without time zone",
            [
                Value::Timestamp(0),
                Value::Timestamp(-1),
                Value::Timestamp(midnight(FIRST)),
                Value::Timestamp(midnight(LAST + 1) - 1),
            ],
            [
                (Value::Timestamp(NEVER[0]), M),
                (Value::Timestamp(NEVER[1]), M),
                (Value::Timestamp(midnight(FIRST) - 1), M),
                (Value::Timestamp(midnight(LAST + 1)), M),
                (Value::Timestamp(-2_440_588 * DAY), M),
                (Value::Timestamp(i64::MAX - 1), M),
            ],
        ),
        of(
            Postgres,
            "timestamp(0) without time zone",
            [Value::Timestamp(5_000_000)],
            [],
        ),
        of(
            Postgres,
            "timestamp with time zone",
            [
                Value::TimestampUtc(1_000_000),
                Value::TimestampUtc(1_700_000_000_123_456),
                Value::TimestampUtc(2_147_483_647_999_999),
            ],
            [
                (Value::TimestampUtc(0), M),
                (Value::TimestampUtc(-1), M),
                (Value::TimestampUtc(2_147_483_648_000_000), M),
                (Value::TimestampUtc(NEVER[0]), M),
                (Value::TimestampUtc(NEVER[1]), M),
                (Value::TimestampUtc(midnight(FIRST) - 1), M),
            ],
        ),
        of(
            Postgres,
            "timestamp(3) with time zone",
            [Value::TimestampUtc(1_001_000)],
            [],
        ),
        of(
            Postgres,
            "uuid",
            [Value::Uuid([0; 16]), Value::Uuid(UUID)],
            [],
        ),
        of(
            Postgres,
            "json",
            [
                json("{ \"b\":1, \"a\" : 2,\"b\":3}"),
                json("null"),
                json("12"),
                json("\"\\u0000\""),
            ],
            [],
        ),
        of(
            Postgres,
            "jsonb",
            [
                json("{\"a\": 2, \"bb\": [1.5, null, \"ä\\n\"]}"),
                json("null"),
                json("12"),
                json("{}"),
            ],
            [(json("1.50"), M), (json("100000000000000000000"), M)],
        ),
        texts("bit(3)", &["000", "101", "111"]),
        texts(
            "bit(70)",
            &["1010101010101010101010101010101010101010101010101010101010101010101010"],
        ),
        texts("bit varying", &["", "0", "00101"]),
        texts("bit varying(5)", &["", "01"]),
        texts(
            "interval",
            &["00:00:00", "1 year 2 mons -3 days +04:05:06.7", "-00:00:01"],
        ),
        texts("time with time zone", &["12:00:00+00", "24:00:00-05:30"]),
        texts("inet", &["10.0.0.1", "10.0.0.1/8", "::1", "::0.1.0.2"]),
        texts("cidr", &["10.0.0.0/8", "::/0"]),
        texts("macaddr", &["08:00:2b:01:02:03"]),
        texts("macaddr8", &["08:00:2b:01:02:03:04:05"]),
        texts("money", &["$0.00", "-$1,234.56"]),
        texts("integer[]", &["{}", "{1,NULL}", "{{1},{2}}"]),
        texts("text[]", &["{a,\"b c\",\"\",\"null\",NULL}"]),
        texts("mood", &["sad", "", "1"]),
        of(
            Postgres,
            "int4range",
            [text("[1,3)"), text("empty")],
            [(text("(,)"), S)],
        )
        .keep_all(),
    ]
}

impl Type {
    /// Without those that are refused: for types where nothing is.
    fn keep_all(mut self) -> Self {
        let refused = std::mem::take(&mut self.refused);
        self.values.extend(refused.into_iter().map(|(v, _)| v));
        self
    }
}

/// Types that the table never chooses as well.
pub(super) fn all_types() -> impl Iterator<Item = (Engine, &'static str)> {
    const MORE: [(Engine, &str); 17] = [
        (Mysql, "binary(16)"),
        (Mysql, "varchar(40)"),
        (Mysql, "char(36)"),
        (Mysql, "decimal(3,0)"),
        (Mysql, "int(11) unsigned"),
        (Mysql, "set('true','false')"),
        (Mysql, "vector(3)"),
        (Postgres, "timestamp(6) without time zone"),
        (Postgres, "numeric(20,0)"),
        (Postgres, "numeric(2,5)"),
        (Postgres, "character varying"),
        (Postgres, "bit(12)"),
        (Postgres, "bit(64)"),
        (Postgres, "jsonb[]"),
        (Postgres, "boolean[]"),
        (Postgres, "tsvector"),
        (Postgres, "interval year to month"),
    ];
    types()
        .into_iter()
        .map(|t| (t.engine, t.declared))
        .chain(MORE)
}

/// The values of all types, and some that no column holds.
pub(super) fn values() -> Vec<Value> {
    let mut values: Vec<Value> = types()
        .into_iter()
        .flat_map(|t| {
            t.values
                .into_iter()
                .chain(t.refused.into_iter().map(|(v, _)| v))
        })
        .collect();
    values.extend([
        text("true"),
        text("-0"),
        text("+1"),
        text("01"),
        text("1e5"),
        text("1E5"),
        text("100000.0"),
        text("100000"),
        text("-0.0"),
        text("inf"),
        text("123E4567-E89B-12D3-A456-426614174000"),
        text("12004567e89b12d3a456426614174000"),
        text("ab"),
        text("a "),
        text("x,y"),
        text("y,x"),
        text("2024-01-01 00:00:00Z"),
        text("24:00:00"),
        text(" 1"),
        text("12.50"),
        text("12.5"),
        json("{\"a\":1}"),
        json("{\"a\": 1}"),
        json("1e2"),
        json("100"),
        json("-0"),
        json("x"),
        dec("7"),
        dec("7.5"),
        dec("0.1"),
        float(7.0),
        float(7.5),
        Value::UInt(7),
        Value::Array(vec![int(1)]),
        other("vector", "x"),
        bytes(&[0; 5]),
    ]);
    values
}

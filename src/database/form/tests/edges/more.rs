//! Those of MySQL and SQLite.

use crate::data::{OtherValue, Value};
use crate::database::Engine::{self, Mysql, Postgres, Sqlite};

use super::{
    DAY, FIRST, LAST, Type, UUID, bytes, dec, float, int, ints, json, midnight, of, other, text,
};

pub(super) fn mysql() -> Vec<Type> {
    const BOTH: &[Engine] = &[Postgres, Sqlite];
    const P: &[Engine] = &[Postgres];
    const S: &[Engine] = &[Sqlite];
    let tenth = f64::from(0.1_f32);
    vec![
        of(
            Mysql,
            "tinyint(1)",
            [int(0), int(1)],
            [(int(2), P), (int(-128), P)],
        ),
        ints(Mysql, "tinyint(4)", -128, 127),
        ints(Mysql, "tinyint(3) unsigned", 0, 255),
        ints(Mysql, "smallint(6)", -32_768, 32_767),
        ints(Mysql, "smallint(5) unsigned", 0, 65_535),
        ints(Mysql, "mediumint(9)", -8_388_608, 8_388_607),
        ints(Mysql, "mediumint(8) unsigned", 0, 16_777_215),
        ints(Mysql, "int(11)", i32::MIN.into(), i32::MAX.into()),
        ints(Mysql, "int(10) unsigned zerofill", 0, u32::MAX.into()),
        ints(Mysql, "bigint(20)", i64::MIN, i64::MAX),
        of(
            Mysql,
            "bigint(20) unsigned",
            [int(0), int(i64::MAX), Value::UInt(1 << 63)],
            [(Value::UInt(u64::MAX), S)],
        ),
        of(
            Mysql,
            "decimal(10,2)",
            [dec("0.00"), dec("-99999999.99"), dec("1.50")],
            [],
        ),
        of(
            Mysql,
            "decimal(65,30)",
            [dec("0.000000000000000000000000000001")],
            [],
        ),
        of(Mysql, "decimal", [dec("9999999999")], []),
        of(Mysql, "decimal(5,2) unsigned", [dec("999.99")], []),
        of(Mysql, "decimal unsigned", [dec("1")], []),
        of(
            Mysql,
            "float",
            [float(0.0), float(tenth), float(f64::from(f32::MAX))],
            [],
        ),
        of(
            Mysql,
            "float(7,3)",
            [float(f64::from(1.234_f32)), float(1.5)],
            [],
        ),
        of(Mysql, "float unsigned", [float(tenth)], []),
        of(
            Mysql,
            "double",
            [float(0.1), float(f64::MIN), float(5e-324)],
            [],
        ),
        of(
            Mysql,
            "double(10,2) unsigned",
            [float(0.1), float(99_999_999.99)],
            [],
        ),
        of(Mysql, "bit(1)", [int(0), int(1)], []),
        of(Mysql, "bit(12)", [int(0), int(5), int(111), int(4095)], []),
        of(
            Mysql,
            "bit(64)",
            [int(i64::MAX)],
            [(Value::UInt(u64::MAX), S)],
        ),
        of(Mysql, "year(4)", [int(0), int(1901), int(2155)], []),
        of(
            Mysql,
            "char(5)",
            [text(""), text("äöüß😀"), text(" a")],
            [(text("a\0b"), P)],
        ),
        of(Mysql, "char(0)", [text("")], []),
        of(
            Mysql,
            "varchar(5)",
            [text("ab   "), text("äöüß😀")],
            [(text("\0"), P)],
        ),
        of(Mysql, "varchar(0)", [text("")], []),
        of(Mysql, "tinytext", [text("x".repeat(255))], []),
        of(Mysql, "text", [text("ä")], []),
        of(Mysql, "mediumtext", [text("ä")], []),
        of(Mysql, "longtext", [text("{\"a\":1}")], []),
        of(
            Mysql,
            "enum('a','it''s','')",
            [text("a"), text("it's"), text("")],
            [],
        ),
        of(
            Mysql,
            "set('x','y','z')",
            [text(""), text("x,z"), text("y")],
            [],
        ),
        of(
            Mysql,
            "binary(4)",
            [bytes(&[1, 0, 0, 0]), bytes(b"abcd")],
            [],
        ),
        of(Mysql, "varbinary(16)", [bytes(b""), bytes(&[9; 16])], []),
        of(Mysql, "tinyblob", [bytes(&[0; 255])], []),
        of(Mysql, "blob", [bytes(b"x")], []),
        of(Mysql, "mediumblob", [bytes(b"x")], []),
        of(Mysql, "longblob", [bytes(b"x")], []),
        of(
            Mysql,
            "date",
            [Value::Date(FIRST), Value::Date(LAST)],
            [
                (other("date", "0000-00-00"), P),
                (other("date", "2020-00-10"), P),
                (other("date", "2023-02-31"), P),
            ],
        ),
        of(
            Mysql,
            "datetime(6)",
            [Value::Timestamp(midnight(FIRST)), Value::Timestamp(-1)],
            [(other("datetime", "2023-02-31 12:00:00.500000"), P)],
        ),
        of(
            Mysql,
            "datetime",
            [Value::Timestamp(0)],
            [(other("datetime", "2020-01-00 00:00:00"), P)],
        ),
        of(
            Mysql,
            "timestamp(3)",
            [Value::TimestampUtc(1_001_000)],
            [(other("datetime", "0000-00-00 00:00:00.000"), P)],
        ),
        of(
            Mysql,
            "time(6)",
            [Value::Time(0), Value::Time(DAY)],
            [(Value::Time(-1), P), (Value::Time(3_020_399_000_000), P)],
        ),
        of(
            Mysql,
            "json",
            [
                json("{\"a\": 2, \"bb\": [1.5, null]}"),
                json("18446744073709551615"),
            ],
            [],
        ),
        of(Mysql, "uuid", [Value::Uuid(UUID)], []),
        of(Mysql, "inet4", [text("10.0.0.1")], []),
        of(Mysql, "inet6", [text("::1"), text("1::2:3:4:5:6:7")], []),
        of(Mysql, "point", [bytes(&[1; 25])], [(bytes(b""), BOTH)]).keep_all(),
    ]
}

pub(super) fn sqlite() -> Vec<Type> {
    const BOTH: &[Engine] = &[Postgres, Mysql];
    const P: &[Engine] = &[Postgres];
    const M: &[Engine] = &[Mysql];
    let raw = || {
        Value::Other(Box::new(OtherValue {
            kind: "text".to_owned(),
            bytes: vec![0xff],
        }))
    };
    vec![
        of(
            Sqlite,
            "BOOLEAN",
            [int(0), int(1)],
            [
                (int(2), P),
                (int(-128), P),
                (int(128), BOTH),
                (text("t"), BOTH),
            ],
        ),
        of(
            Sqlite,
            "INTEGER",
            [int(i64::MIN), int(i64::MAX)],
            [(text("x"), BOTH), (float(0.5), BOTH), (bytes(b"1"), BOTH)],
        ),
        of(
            Sqlite,
            "REAL",
            [float(0.1), float(3.0), float(1e300)],
            [(float(f64::INFINITY), M), (text("x"), BOTH)],
        ),
        of(
            Sqlite,
            "NUMERIC",
            [int(1), int(i64::MAX), float(0.1), float(123_456_789.125)],
            [
                (text("x"), BOTH),
                (float(1e-40), M),
                (float(1e300), M),
                (float(f64::INFINITY), BOTH),
            ],
        ),
        of(
            Sqlite,
            "DATE",
            [text("2024-02-29")],
            [
                (text("2023-02-29"), P),
                (text("2023-02-32"), BOTH),
                (text("infinity"), M),
                (text("0000-00-00"), P),
                (text("01.02.2024"), BOTH),
                (int(20240229), BOTH),
            ],
        ),
        of(
            Sqlite,
            "TIME",
            [text("12:00:00"), text("12:00:00.500000")],
            [
                (text("12:00"), BOTH),
                (text("12:00:00.5"), BOTH),
                (text("-01:00:00"), P),
            ],
        ),
        of(
            Sqlite,
            "DATETIME",
            [
                text("2024-02-29 12:00:00"),
                text("2024-02-29 12:00:00.000001"),
            ],
            [
                (text("2024-02-29T12:00:00"), BOTH),
                (text("2024-02-29 12:00:00Z"), BOTH),
                (text("2024-02-29"), BOTH),
                (int(1_700_000_000), BOTH),
            ],
        ),
        of(
            Sqlite,
            "UUID",
            [bytes(&UUID)],
            [
                (text("123e4567-e89b-12d3-a456-426614174000"), BOTH),
                (bytes(&[1; 15]), BOTH),
            ],
        ),
        of(
            Sqlite,
            "JSON",
            [text("{\"b\":1,  \"a\":2}"), text("null"), int(12)],
            [(text("{"), P)],
        ),
        of(
            Sqlite,
            "TEXT",
            [text(""), text("1"), text("1.0"), text("ä😀")],
            [(text("\0"), P), (raw(), BOTH), (bytes(b"x"), BOTH)],
        ),
        of(
            Sqlite,
            "BLOB",
            [bytes(b""), bytes(&[0, 255]), bytes(&UUID)],
            [(text("x"), BOTH), (int(1), BOTH), (float(1.0), BOTH)],
        ),
        of(
            Sqlite,
            "",
            [text(""), text("1")],
            [(int(1), BOTH), (bytes(b"x"), BOTH), (float(1.0), BOTH)],
        ),
    ]
}

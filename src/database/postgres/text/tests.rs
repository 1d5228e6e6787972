use proptest::prelude::*;

use super::*;

fn read(kind: Kind, text: &str) -> Value {
    value(kind, text.as_bytes()).unwrap()
}

fn refused(kind: Kind, text: &[u8]) {
    assert_eq!(value(kind, text).unwrap_err().kind(), ErrorKind::Value);
}

#[test]
fn numbers_are_read_exactly() {
    assert_eq!(read(Kind::Int2, "-32768"), Value::Int(-32768));
    assert_eq!(read(Kind::Int4, "2147483647"), Value::Int(2_147_483_647));
    assert_eq!(
        read(Kind::Int8, "-9223372036854775808"),
        Value::Int(i64::MIN)
    );
    assert_eq!(
        read(Kind::Int8, "9223372036854775807"),
        Value::Int(i64::MAX)
    );
    assert_eq!(read(Kind::Oid, "4294967295"), Value::Int(4_294_967_295));
    for text in ["", "-", "+1", "1 ", "9223372036854775808", "1e3"] {
        refused(Kind::Int8, text.as_bytes());
    }
    refused(Kind::Int2, b"32768");
    refused(Kind::Oid, b"-1");
    for text in ["12345678901234567890.12300", "-0.00001", "NaN", "-Infinity"] {
        let Value::Decimal(decimal) = read(Kind::Numeric, text) else {
            panic!("no decimal");
        };
        assert_eq!(decimal.as_str(), text);
    }
    assert_eq!(read(Kind::Float4, "0.1"), Value::Float(f64::from(0.1_f32)));
    assert_eq!(read(Kind::Float8, "5e-324"), Value::Float(5e-324));
    assert_eq!(read(Kind::Float8, "-0"), Value::Float(-0.0));
    assert_eq!(read(Kind::Float8, "NaN"), Value::Float(f64::NAN));
    assert_eq!(read(Kind::Float4, "NaN"), Value::Float(f64::NAN));
    assert_eq!(
        read(Kind::Float4, "-Infinity"),
        Value::Float(f64::NEG_INFINITY)
    );
    refused(Kind::Float8, b"");
}

#[test]
fn texts_bytes_and_identifiers() {
    assert_eq!(read(Kind::Bool, "t"), Value::Bool(true));
    refused(Kind::Bool, b"true");
    assert_eq!(read(Kind::Text, "a "), Value::Text("a ".into()));
    assert_eq!(read(Kind::Other, "{1,2}"), Value::Text("{1,2}".into()));
    assert_eq!(
        read(Kind::Jsonb, "{\"a\": 1}"),
        Value::Json("{\"a\": 1}".into())
    );
    refused(Kind::Text, b"\xff");
    assert_eq!(read(Kind::Bytea, "\\x"), Value::Bytes(vec![]));
    assert_eq!(
        read(Kind::Bytea, "\\x00fFab"),
        Value::Bytes(vec![0, 255, 171])
    );
    refused(Kind::Bytea, b"\\x0");
    refused(Kind::Bytea, b"abc");
    assert_eq!(
        read(Kind::Uuid, "00112233-4455-6677-8899-aabbccddeeff"),
        Value::Uuid([
            0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd,
            0xee, 0xff
        ])
    );
    refused(Kind::Uuid, b"00112233445566778899aabbccddeeff");
}

#[test]
fn dates_and_times() {
    for (text, days) in [
        ("1970-01-01", 0),
        ("1969-12-31", -1),
        ("2000-02-29", 11016),
        ("0001-01-01", -719_162),
        ("0001-12-31 BC", -719_163),
        ("4714-11-24 BC", -2_440_588),
        ("5874897-12-31", 2_145_042_905),
        ("infinity", i32::MAX),
        ("-infinity", i32::MIN),
    ] {
        assert_eq!(read(Kind::Date, text), Value::Date(days), "{text}");
    }
    for text in ["1970-13-01", "1970-01-00", "70-01-01", "1970-01-01 ", ""] {
        refused(Kind::Date, text.as_bytes());
    }
    assert_eq!(read(Kind::Time, "00:00:00"), Value::Time(0));
    assert_eq!(read(Kind::Time, "24:00:00"), Value::Time(DAY_US));
    assert_eq!(read(Kind::Time, "23:59:59.999999"), Value::Time(DAY_US - 1));
    assert_eq!(read(Kind::Time, "00:00:00.5"), Value::Time(500_000));
    refused(Kind::Time, b"24:00:01");
    refused(Kind::Time, b"00:00:00.");
    for (text, us) in [
        ("1970-01-01 00:00:00", 0),
        ("1969-12-31 23:59:59.999999", -1),
        ("10000-01-01 00:00:00", 253_402_300_800_000_000),
        ("4714-11-24 00:00:00 BC", -210_866_803_200_000_000),
        ("infinity", i64::MAX),
        ("-infinity", i64::MIN),
    ] {
        assert_eq!(read(Kind::Timestamp, text), Value::Timestamp(us), "{text}");
    }
    for (text, us) in [
        ("1970-01-01 00:00:00+00", 0),
        ("1970-01-01 00:00:00.25+00", 250_000),
        ("1970-01-01 05:30:00+05:30", 0),
        ("1969-12-31 23:59:59-00:00:01", 0),
        ("0001-01-01 00:00:00+00 BC", -62_167_219_200_000_000),
    ] {
        assert_eq!(
            read(Kind::TimestampTz, text),
            Value::TimestampUtc(us),
            "{text}"
        );
    }
    // What does not fit into 64 bits is refused, not bent.
    refused(Kind::Timestamp, b"294276-12-31 23:59:59.999999");
    refused(Kind::TimestampTz, b"1970-01-01 00:00:00");
    refused(Kind::Timestamp, b"1970-01-01 00:00:00+00");
}

/// Year, month and day as the server writes them.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

fn written(days: i64, behind: &str) -> String {
    let (year, month, day) = civil(days);
    let (year, era) = if year > 0 {
        (year, "")
    } else {
        (1 - year, " BC")
    };
    format!("{year:04}-{month:02}-{day:02}{behind}{era}")
}

proptest! {
    #[test]
    fn every_integer(v: i64) {
        prop_assert_eq!(read(Kind::Int8, &v.to_string()), Value::Int(v));
    }

    #[test]
    fn every_float(bits: u64) {
        let v = f64::from_bits(bits);
        prop_assume!(v.is_finite());
        prop_assert_eq!(read(Kind::Float8, &format!("{v:e}")), Value::Float(v));
    }

    #[test]
    fn every_date(days in -2_440_588_i32..2_145_042_905) {
        prop_assert_eq!(
            read(Kind::Date, &written(i64::from(days), "")),
            Value::Date(days)
        );
    }

    #[test]
    fn every_timestamp(us in -210_866_803_200_000_000_i64..i64::MAX) {
        let (day, rest) = (us.div_euclid(DAY_US), us.rem_euclid(DAY_US));
        let seconds = rest / 1_000_000;
        let time = format!(
            " {:02}:{:02}:{:02}.{:06}",
            seconds / 3600, seconds / 60 % 60, seconds % 60, rest % 1_000_000
        );
        prop_assert_eq!(
            read(Kind::Timestamp, &written(day, &time)),
            Value::Timestamp(us)
        );
        prop_assert_eq!(
            read(Kind::TimestampTz, &written(day, &format!("{time}+00"))),
            Value::TimestampUtc(us)
        );
    }

    #[test]
    fn all_bytes(v: Vec<u8>) {
        let text: String = v.iter().map(|b| format!("{b:02x}")).collect();
        prop_assert_eq!(read(Kind::Bytea, &format!("\\x{text}")), Value::Bytes(v));
    }

    #[test]
    fn nonsense_never_panics(text: Vec<u8>) {
        for kind in [
            Kind::Bool, Kind::Int8, Kind::Numeric, Kind::Float4, Kind::Date, Kind::Time,
            Kind::Timestamp, Kind::TimestampTz, Kind::Uuid, Kind::Bytea,
        ] {
            prop_assert!(value(kind, &text).is_ok() || value(kind, &text).is_err());
        }
    }
}

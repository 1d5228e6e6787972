use super::*;
use crate::database::mysql::binlog::wire::Input;

fn cell(declared: &str, kind: u8, metadata: &[u8]) -> Result<Cell, String> {
    let wire = Wire::read(kind, &mut Input(metadata)).unwrap();
    Cell::new(&Kind::of_declared(declared, "utf8mb4"), declared, wire)
}

fn value(declared: &str, kind: u8, metadata: &[u8], raw: &[u8]) -> Value {
    cell(declared, kind, metadata).unwrap().value(raw).unwrap()
}

#[test]
fn integers_take_their_sign_from_the_schema() {
    assert_eq!(value("tinyint(4)", 1, &[], &[0x80]), Value::Int(-128));
    assert_eq!(
        value("tinyint(3) unsigned", 1, &[], &[0x80]),
        Value::Int(128)
    );
    assert_eq!(
        value("mediumint(9)", 9, &[], &[0, 0, 0x80]),
        Value::Int(-8_388_608)
    );
    assert_eq!(
        value("bigint(20) unsigned", 8, &[], &[0xff; 8]),
        Value::UInt(u64::MAX)
    );
    assert_eq!(
        value("bigint(20) unsigned", 8, &[], &[5, 0, 0, 0, 0, 0, 0, 0]),
        Value::Int(5)
    );
    assert_eq!(value("bigint(20)", 8, &[], &[0xff; 8]), Value::Int(-1));
    assert_eq!(value("year(4)", 13, &[], &[0]), Value::Int(0));
    assert_eq!(value("year(4)", 13, &[], &[126]), Value::Int(2026));
    assert_eq!(
        value("bit(64)", 16, &[0, 8], &[0xff; 8]),
        Value::UInt(u64::MAX)
    );
    assert_eq!(value("bit(9)", 16, &[1, 1], &[1, 0]), Value::Int(256));
}

#[test]
fn decimals_keep_their_scale() {
    let decimal = |raw: &[u8]| match value("decimal(14,4)", 246, &[14, 4], raw) {
        Value::Decimal(d) => d.as_str().to_owned(),
        other => panic!("{other}"),
    };
    assert_eq!(
        decimal(&[0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2]),
        "1234567890.1234"
    );
    assert_eq!(
        decimal(&[0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d]),
        "-1234567890.1234"
    );
    assert_eq!(
        value("decimal(2,2)", 246, &[2, 2], &[0x80 | 5]),
        Value::Decimal("0.05".parse().unwrap())
    );
}

#[test]
fn floats_are_widened_exactly() {
    assert_eq!(
        value("float", 4, &[4], &0.1_f32.to_le_bytes()),
        Value::Float(f64::from(0.1_f32))
    );
    assert_eq!(
        value("double", 5, &[8], &0.1_f64.to_le_bytes()),
        Value::Float(0.1)
    );
}

#[test]
fn labels_and_padding() {
    let declared = "enum('a','b','c')";
    assert_eq!(value(declared, 254, &[247, 1], &[2]), "b".into());
    assert_eq!(value(declared, 254, &[247, 1], &[0]), "".into());
    assert!(cell(declared, 254, &[247, 1]).unwrap().value(&[4]).is_err());
    let declared = "set('a','b','c')";
    assert_eq!(value(declared, 254, &[248, 1], &[0b101]), "a,c".into());
    assert_eq!(value(declared, 254, &[248, 1], &[0]), "".into());
    assert!(cell(declared, 254, &[248, 1]).unwrap().value(&[8]).is_err());
    assert_eq!(
        value("binary(4)", 254, &[254, 4], b"a"),
        Value::Bytes(b"a\0\0\0".to_vec())
    );
    assert_eq!(
        value("uuid", 254, &[254, 16], &[1, 2]),
        Value::Uuid([1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    );
    assert_eq!(value("inet4", 254, &[254, 4], &[9]), "9.0.0.0".into());
}

#[test]
fn moments() {
    // '2026-11-26' is day 20783.
    let packed = 2026_u32 << 9 | 11 << 5 | 26;
    let raw = &packed.to_le_bytes()[..3];
    assert_eq!(value("date", 10, &[], raw), Value::Date(20_783));
    assert_eq!(
        value("date", 10, &[], &[0, 0, 0]),
        other("date", "0000-00-00".to_owned())
    );
    assert_eq!(
        value("datetime(3)", 18, &[3], &[0x80, 0, 0, 0, 0, 0, 0]),
        other("datetime", "0000-00-00 00:00:00.000".to_owned())
    );
    assert_eq!(
        value("timestamp(2)", 17, &[2], &[0, 0, 0, 1, 25]),
        Value::TimestampUtc(1_250_000)
    );
    // -00:00:00.01, then -838:59:59
    assert_eq!(
        value("time(2)", 19, &[2], &[0x7f, 0xff, 0xff, 0xff]),
        Value::Time(-10_000)
    );
    assert_eq!(
        value("time", 19, &[0], &[0x4b, 0x91, 0x05]),
        Value::Time(-3_020_399_000_000)
    );
    assert_eq!(
        value("time(6)", 19, &[6], &[0x80, 0, 1, 0, 0, 7]),
        Value::Time(1_000_007)
    );
}

#[test]
fn another_type_is_not_bent() {
    assert!(cell("int(11)", 8, &[]).is_err());
    assert!(cell("decimal(10,2)", 246, &[12, 2]).is_err());
    assert!(cell("datetime(3)", 18, &[6]).is_err());
    assert!(cell("binary(4)", 254, &[254, 5]).is_err());
    assert!(cell("varchar(20)", 3, &[]).is_err());
    assert!(cell("vector(3)", 242, &[4]).is_err());
    assert!(cell("varchar(20) /*M!100301 COMPRESSED*/", 141, &[20, 0]).is_err());
    let cyrillic = Kind::of_declared("text", "koi8r");
    assert!(refusal(&cyrillic, "text").unwrap().contains("koi8r"));
}

use super::*;

fn fit(table: &TableMap<'_>, shape: &Shape) -> Result<Layout, String> {
    let collations = [(45, "utf8mb4"), (8, "latin1"), (63, "binary")];
    let collations = collations
        .map(|(n, name)| (n, name.to_owned()))
        .into_iter()
        .collect();
    Layout::new(table, shape, &collations)
}

fn captured(name: &str, declared: &str, place: usize) -> Option<Captured> {
    Some(Captured {
        name: name.to_owned(),
        kind: Kind::of_declared(declared, "utf8mb4"),
        declared: declared.to_owned(),
        charset: Some("utf8mb4".to_owned()),
        place,
        began_null: true,
    })
}

fn shape(columns: &[(&str, &str, usize)], width: usize) -> Shape {
    Shape {
        columns: columns
            .iter()
            .map(|(name, declared, place)| captured(name, declared, *place))
            .collect(),
        names: (0..width)
            .map(|i| {
                let named = columns.iter().find(|(_, _, place)| *place == i);
                named.map_or_else(|| format!("other{i}"), |(name, _, _)| (*name).to_owned())
            })
            .collect(),
    }
}

#[test]
fn what_lies_before_columns_were_added_is_read_without_them() {
    let collations = [(45, "utf8mb4".to_owned())].into();
    let before = |bytes: &[u8], shape: &Shape| {
        Layout::before_additions(&TableMap::read(bytes).unwrap(), shape, &collations)
    };
    let all: [(&str, &str, usize); 4] = [
        ("id", "int unsigned", 0),
        ("v", "varchar(80)", 1),
        ("e", "enum('a','b')", 2),
        ("w", "int", 3),
    ];
    let now = shape(&all, 4);
    let layout = before(&map(FULL), &now).unwrap();
    assert_eq!((layout.width, &layout.missing[..]), (4, &[3][..]));
    // Without names nobody knows which column is new.
    assert!(before(&map(&[]), &now).is_none());
    // All of them are there.
    assert!(before(&map(FULL), &shape(&all[..3], 3)).is_none());
    // Another one is not there: it was renamed, or is none of the last.
    let mut renamed = all;
    renamed[2].0 = "ee";
    assert!(before(&map(FULL), &shape(&renamed, 4)).is_none());
    // Its rows held something from the beginning.
    let mut filled = shape(&all, 4);
    filled.columns[3].as_mut().unwrap().began_null = false;
    assert!(before(&map(FULL), &filled).is_none());
}

/// `shop.t` with `id int unsigned, v varchar(80), e enum('a','b')`.
fn map(optional: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x04shop\0\x01t\0".to_vec();
    bytes.extend_from_slice(&[3, 3, 15, 254]);
    bytes.extend_from_slice(&[4, 64, 1, 247, 1]);
    bytes.push(0b110);
    bytes.extend_from_slice(optional);
    bytes
}

const FULL: &[u8] = b"\x01\x01\x80\x04\x07\x02id\x01v\x01e\x06\x05\x02\x01a\x01b";

#[test]
fn columns_are_found_by_name_and_by_place() {
    let bytes = map(FULL);
    let table = TableMap::read(&bytes).unwrap();
    assert!(table.is("shop", "t", false));
    assert!(!table.is("shop", "T", false));
    assert!(table.is("Shop", "T", true));
    let swapped = shape(&[("e", "enum('a','b')", 0), ("id", "int unsigned", 1)], 9);
    let layout = fit(&table, &swapped).unwrap();
    let at: Vec<_> = layout
        .columns
        .iter()
        .map(|(_, cell)| cell.as_ref().map(|(i, _)| *i))
        .collect();
    assert_eq!(at, [Some(1), None, Some(0)]);

    let bytes = map(&[]);
    let table = TableMap::read(&bytes).unwrap();
    let known = shape(&[("x", "varchar(80)", 1)], 3);
    assert!(fit(&table, &known).unwrap().columns[1].1.is_some());
    let known = shape(&[("x", "varchar(80)", 1)], 4);
    let wrong = fit(&table, &known).unwrap_err();
    assert!(wrong.contains("3 columns in the log, and 4"), "{wrong}");
}

#[test]
fn what_does_not_fit_is_said() {
    let bytes = map(FULL);
    let table = TableMap::read(&bytes).unwrap();
    for (name, declared, says) in [
        ("w", "varchar(80)", "no column w"),
        ("id", "int", "unsigned"),
        ("id", "bigint unsigned", "known as bigint unsigned"),
        ("e", "enum('a','c')", "other labels"),
        ("e", "enum('a')", "other labels"),
    ] {
        let wrong = fit(&table, &shape(&[(name, declared, 0)], 3)).unwrap_err();
        assert!(wrong.contains(says), "{wrong}");
    }
    assert!(TableMap::read(&bytes[..12]).is_none());
}

#[test]
fn columns_that_are_gone_are_missing() {
    let bytes = map(FULL);
    let table = TableMap::read(&bytes).unwrap();
    let mut known = shape(&[("id", "int unsigned", 0), ("v", "varchar(80)", 1)], 3);
    known.columns[1] = None;
    assert_eq!(fit(&table, &known).unwrap().missing, [1]);
}

#[test]
fn differences_in_words() {
    let was = shape(&[("id", "int", 0), ("v", "varchar(8)", 1)], 2);
    assert_eq!(was.difference(&was), None);
    let now = shape(&[("id", "int", 0), ("v", "varchar(9)", 1)], 2);
    assert_eq!(
        was.difference(&now).unwrap(),
        "column v was varchar(8), is varchar(9)"
    );
    let mut now = now;
    now.columns[1] = None;
    assert_eq!(was.difference(&now).unwrap(), "column v is gone");
}

#[test]
fn texts_of_another_character_set_are_noticed() {
    let known = shape(&[("v", "varchar(80)", 1), ("e", "enum('a','b')", 2)], 3);
    for (optional, fits) in [
        (&b"\x03\x01\x2d"[..], true),
        (b"\x03\x01\x08", false),
        (b"\x02\x01\x2d", true),
        (b"\x02\x03\x2d\x00\x08", false),
        (b"\x0a\x01\x08", false),
        (b"\x0b\x01\x2d", true),
        // A collation that is not known says nothing.
        (b"\x03\x01\x7a", true),
    ] {
        let bytes = map(optional);
        let table = TableMap::read(&bytes).unwrap();
        assert_eq!(fit(&table, &known).is_ok(), fits, "{optional:?}");
    }
}

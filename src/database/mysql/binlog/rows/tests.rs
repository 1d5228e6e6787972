use super::*;
use crate::database::mysql::binlog::cell::Cell;
use crate::database::mysql::binlog::wire::Wire;

fn layout() -> Layout {
    let int = Cell::Int {
        bytes: 1,
        unsigned: false,
    };
    Layout {
        columns: vec![
            (Wire::Int(1), Some((0, int.clone()))),
            (Wire::Int(2), None),
            (Wire::Int(1), Some((1, int))),
        ],
        width: 2,
        missing: Vec::new(),
    }
}

fn body(bitmaps: &[u8], rows: &[u8]) -> Vec<u8> {
    let mut bytes = vec![9, 0, 0, 0, 0, 0, 1, 0, 3];
    bytes.extend_from_slice(bitmaps);
    bytes.extend_from_slice(rows);
    bytes
}

fn changes(event: u8, body: &[u8]) -> Result<Vec<Change>, Unreadable> {
    let mut out = Vec::new();
    let rows = Rows::read(event, body).unwrap();
    rows.changes(&layout(), 4, &[0], 77, None, &mut out)?;
    assert_eq!(
        rows.count(&layout()).unwrap() as usize,
        out.iter()
            .filter(|c| event != 24 || c.after.is_some())
            .count()
    );
    Ok(out)
}

#[test]
fn inserts_with_nulls() {
    let rows = [0b000, 1, 5, 0, 2, 0b110, 3];
    let out = changes(23, &body(&[7], &rows)).unwrap();
    assert_eq!(out.len(), 2);
    assert_eq!(out[0].after, Some(vec![Value::Int(1), Value::Int(2)]));
    assert_eq!(out[1].after, Some(vec![Value::Int(3), Value::Null]));
    assert_eq!((out[0].table, out[0].seq), (4, 77));
}

#[test]
fn a_changed_key_is_a_delete_and_an_insert() {
    let update = [0, 1, 5, 0, 2, 0, 1, 5, 0, 3];
    let out = changes(24, &body(&[7, 7], &update)).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].before, Some(vec![Value::Int(1), Value::Int(2)]));
    assert_eq!(out[0].after, Some(vec![Value::Int(1), Value::Int(3)]));

    let moved = [0, 1, 5, 0, 2, 0, 8, 5, 0, 2];
    let out = changes(24, &body(&[7, 7], &moved)).unwrap();
    let ops: Vec<_> = out.iter().map(Change::op).collect();
    assert_eq!(ops, [Op::Delete, Op::Insert]);
}

#[test]
fn a_column_that_is_not_logged() {
    // One that nobody asked for may be missing.
    let out = changes(25, &body(&[0b101], &[0, 1, 2])).unwrap();
    assert_eq!(out[0].before, Some(vec![Value::Int(1), Value::Int(2)]));
    assert_eq!(
        changes(25, &body(&[0b011], &[0, 1, 5, 0])),
        Err(Unreadable::Partial(1))
    );
}

#[test]
fn bytes_that_end_early() {
    assert_eq!(
        changes(23, &body(&[7], &[0, 1, 5])),
        Err(Unreadable::Damaged)
    );
}

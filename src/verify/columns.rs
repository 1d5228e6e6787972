//! How many rows at the front of two pieces of batches are identical, column by column.
//!
//! This is the path that nearly all rows of a healthy migration take: whole slices of numbers and
//! text are compared in place, and no cell is looked at by itself until a slice differs.

use datafusion::arrow::array::{
    Array, BinaryArray, GenericByteArray, Int64Array, PrimitiveArray, StringArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{ArrowPrimitiveType, ByteArrayType};

use crate::data::batch::ColumnView;

use crate::data::order::same_cell;

/// The number of leading rows, at most `rows`, that are identical in all columns, beginning at row
/// `at_a` of `a` and row `at_b` of `b`.
pub(super) fn equal_rows(
    a: &[ColumnView<'_>],
    at_a: usize,
    b: &[ColumnView<'_>],
    at_b: usize,
    rows: usize,
) -> usize {
    let mut equal = rows;
    for (a, b) in a.iter().zip(b) {
        if equal == 0 {
            break;
        }
        equal = equal_cells(a, at_a, b, at_b, equal);
    }
    equal
}

fn equal_cells(
    a: &ColumnView<'_>,
    at_a: usize,
    b: &ColumnView<'_>,
    at_b: usize,
    rows: usize,
) -> usize {
    let whole = match (a, b) {
        (ColumnView::Nulls, ColumnView::Nulls) => true,
        (ColumnView::Int(a), ColumnView::Int(b)) => equal_ints(a, at_a, b, at_b, rows),
        (ColumnView::Float(a), ColumnView::Float(b)) => {
            equal_nulls(a.nulls(), at_a, b.nulls(), at_b, rows)
                && slice(a, at_a, rows)
                    .iter()
                    .zip(slice(b, at_b, rows))
                    .all(|(a, b)| a.to_bits() == b.to_bits())
        }
        (ColumnView::Text(a), ColumnView::Text(b)) => equal_text(a, at_a, b, at_b, rows),
        (ColumnView::Bytes(a), ColumnView::Bytes(b))
        | (ColumnView::MixedRef(a), ColumnView::MixedRef(b)) => {
            equal_binary(a, at_a, b, at_b, rows)
        }
        (ColumnView::Mixed(a), ColumnView::Mixed(b)) => {
            equal_binary(a.bytes(), at_a, b.bytes(), at_b, rows)
        }
        _ => false,
    };
    if whole {
        return rows;
    }
    (0..rows)
        .take_while(|&i| same_cell(a.get(at_a + i), b.get(at_b + i)))
        .count()
}

fn slice<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, at: usize, rows: usize) -> &[T::Native] {
    array.values().get(at..at + rows).unwrap_or(&[])
}

fn equal_ints(a: &Int64Array, at_a: usize, b: &Int64Array, at_b: usize, rows: usize) -> bool {
    equal_nulls(a.nulls(), at_a, b.nulls(), at_b, rows)
        && slice(a, at_a, rows) == slice(b, at_b, rows)
}

fn equal_text(a: &StringArray, at_a: usize, b: &StringArray, at_b: usize, rows: usize) -> bool {
    equal_bytes(a, at_a, b, at_b, rows)
}

fn equal_binary(a: &BinaryArray, at_a: usize, b: &BinaryArray, at_b: usize, rows: usize) -> bool {
    equal_bytes(a, at_a, b, at_b, rows)
}

/// `false` may also mean "cannot say": what lies under a NULL is then looked at cell by cell.
fn equal_bytes<T: ByteArrayType<Offset = i32>>(
    a: &GenericByteArray<T>,
    at_a: usize,
    b: &GenericByteArray<T>,
    at_b: usize,
    rows: usize,
) -> bool {
    if !equal_nulls(a.nulls(), at_a, b.nulls(), at_b, rows) {
        return false;
    }
    let (ends_a, ends_b) = (
        &a.value_offsets()[at_a..=at_a + rows],
        &b.value_offsets()[at_b..=at_b + rows],
    );
    let (first_a, first_b) = (ends_a[0], ends_b[0]);
    let lengths = ends_a.iter().zip(ends_b).fold(0, |different, (a, b)| {
        different | ((a - first_a) ^ (b - first_b))
    });
    if lengths != 0 {
        return false;
    }
    let range = |first: i32, last: i32| first.unsigned_abs() as usize..last.unsigned_abs() as usize;
    a.value_data()[range(first_a, ends_a[rows])] == b.value_data()[range(first_b, ends_b[rows])]
}

fn equal_nulls(
    a: Option<&NullBuffer>,
    at_a: usize,
    b: Option<&NullBuffer>,
    at_b: usize,
    rows: usize,
) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.inner().slice(at_a, rows) == b.inner().slice(at_b, rows),
        (Some(one), None) => one.slice(at_a, rows).null_count() == 0,
        (None, Some(one)) => one.slice(at_b, rows).null_count() == 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::equal_rows;
    use crate::data::batch::{from_rows, views};
    use crate::data::{Row, Value};
    use crate::verify::order::differing_columns;

    fn cell() -> impl Strategy<Value = Value> {
        prop_oneof![
            4 => (0_i64..2).prop_map(Value::Int),
            2 => Just(Value::Null),
            1 => Just(Value::Float(0.0)),
            1 => Just(Value::Float(-0.0)),
            2 => "[ab]{0,2}".prop_map(Value::Text),
            1 => Just(Value::Bytes(b"a".to_vec())),
        ]
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let plain = (
            prop_oneof![Just(Value::Null), (0_i64..2).prop_map(Value::Int)],
            prop_oneof![Just(Value::Null), "[ab]{0,1}".prop_map(Value::Text)],
            cell(),
        )
            .prop_map(|(a, b, c)| vec![a, b, c]);
        proptest::collection::vec(plain, 1..12)
    }

    proptest! {
        #[test]
        fn the_run_ends_at_the_first_row_that_differs(
            a in rows(), b in rows(), copy in any::<bool>(), at_a in 0_usize..4, at_b in 0_usize..4,
        ) {
            let b = if copy { [vec![vec![Value::Int(9); 3]; at_b], a.clone()].concat() } else { b };
            let names = ["x", "y", "z"].map(String::from);
            let (batch_a, batch_b) =
                (from_rows(&names, &a).unwrap(), from_rows(&names, &b).unwrap());
            let at_a = if copy { 0 } else { at_a.min(a.len()) };
            let at_b = at_b.min(b.len());
            let most = (a.len() - at_a).min(b.len() - at_b);
            let expected = (0..most)
                .take_while(|i| differing_columns(&a[at_a + i], &b[at_b + i]).is_empty())
                .count();
            let (views_a, views_b) = (views(&batch_a).unwrap(), views(&batch_b).unwrap());
            prop_assert_eq!(equal_rows(&views_a, at_a, &views_b, at_b, most), expected);
        }
    }
}

//! Keys of rows in batches; see [`crate::data::order`] for the order itself.

use std::cmp::Ordering;

use crate::data::Value;
use crate::data::batch::ColumnView;
use crate::data::order::{compare, same_cell};

/// Indexes of the columns in which two rows of equal width differ.
pub(super) fn differing_columns(a: &[Value], b: &[Value]) -> Vec<usize> {
    a.iter()
        .zip(b)
        .enumerate()
        .filter(|(_, (a, b))| !same_cell((*a).into(), (*b).into()))
        .map(|(i, _)| i)
        .collect()
}

/// The order of the keys of two rows in two batches.
pub(super) fn compare_row_keys(
    a: &[ColumnView<'_>],
    row_a: usize,
    b: &[ColumnView<'_>],
    row_b: usize,
    key: &[usize],
) -> Ordering {
    for &column in key {
        let order = compare(a[column].get(row_a), b[column].get(row_b));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// The order of a row's key and a key's cells.
pub(super) fn compare_to_key(
    views: &[ColumnView<'_>],
    row: usize,
    key: &[usize],
    cells: &[Value],
) -> Ordering {
    for (&column, cell) in key.iter().zip(cells) {
        let order = compare(views[column].get(row), cell.into());
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

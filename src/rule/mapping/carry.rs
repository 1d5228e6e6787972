//! Which rows can get across and come back.
//!
//! Not carried are: a row that lies outside `where`, a row whose key is NULL, a row with a cell that
//! the other side would hold so that it comes back as something else. On its way back each of them
//! would damage what it came from, so it is refused, and the reason says which it is.

use std::fmt;
use std::sync::Arc;

use crate::data::{Key, Row, Value};
use crate::rule::RuleError;

use super::{How, MappedTable, StoredForm, TableMapping};

/// A row that has no counterpart on the other side.
#[derive(Clone, Debug, PartialEq)]
pub struct Unmapped {
    /// Why.
    pub reason: String,
    /// The key that it would have in the target, where that is known.
    pub key: Option<Key>,
}

/// What one side makes of the other's cells, if that comes back as what it was; else the cell as
/// it is, so that it equals nothing that the side can hold.
pub struct Faithful {
    to: Arc<dyn StoredForm>,
    back: Option<Arc<dyn StoredForm>>,
}

impl fmt::Debug for Faithful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faithful").finish_non_exhaustive()
    }
}

impl StoredForm for Faithful {
    fn as_stored(&self, column: usize, value: Value) -> Value {
        carry(&self.to, self.back.as_ref(), column, value).unwrap_or_else(|value| value)
    }

    fn is_identity(&self) -> bool {
        self.to.is_identity()
    }
}

/// The cell on the other side; `Err` with the cell where it would not come back.
fn carry(
    to: &Arc<dyn StoredForm>,
    back: Option<&Arc<dyn StoredForm>>,
    column: usize,
    value: Value,
) -> Result<Value, Value> {
    let held = to.try_stored(column, value.clone())?;
    if held == value {
        return Ok(held);
    }
    let returned = match back {
        None => held.clone(),
        Some(back) => back.as_stored(column, held.clone()),
    };
    if returned == value {
        Ok(held)
    } else {
        Err(value)
    }
}

impl MappedTable {
    /// Why a row of this side cannot be told apart from others: a key cell is NULL.
    #[must_use]
    pub fn keyless(&self, row: &[Value]) -> Option<String> {
        let column = self
            .table
            .key
            .iter()
            .find(|&&k| row.get(k) == Some(&Value::Null))?;
        Some(format!(
            "table {} has rows without a value in key column {}; they cannot be told apart, so \
             none of them is synced: give them a key",
            self.table.name, self.table.columns[*column].name
        ))
    }
}

impl TableMapping {
    /// What the target makes of the source's cells, for a comparison: a cell that would not come
    /// back is left as it is, so that it differs. `None` when both sides hold everything alike.
    #[must_use]
    pub fn comparable_form(&self) -> Option<Arc<dyn StoredForm>> {
        let to = self.targets.first()?.stored.as_ref()?;
        Some(Arc::new(Faithful {
            to: Arc::clone(to),
            back: self.source.stored.clone(),
        }))
    }

    /// A row of one side of a mapping by columns in the other's form, and why it cannot get there.
    fn carried(from: &MappedTable, to: &MappedTable, row: Row) -> (Row, Option<String>) {
        let mut reason = from.keyless(&row);
        let Some(form) = &to.stored else {
            return (row, reason);
        };
        let cells = row.into_iter().enumerate().map(|(column, value)| {
            carry(form, from.stored.as_ref(), column, value).unwrap_or_else(|value| {
                if reason.is_none() {
                    let (from, to) = (&from.table, &to.table);
                    let (there, here) = (&to.columns[column], &from.columns[column].name);
                    reason = Some(match form.try_stored(column, value.clone()) {
                        Ok(held) => format!(
                            "column {} of table {} would hold {held} for the {value} of column \
                             {here}, and that does not come back as what it was",
                            there.name, to.name
                        ),
                        Err(value) => format!(
                            "column {} of table {}, {}, cannot hold the {value} of column {here}",
                            there.name, to.name, there.declared_type
                        ),
                    });
                }
                value
            })
        });
        (cells.collect(), reason)
    }

    /// What a source row is in the target of a mapping by columns; `None`: it does not take part.
    pub fn forward_row(&self, row: Row) -> Result<Result<Option<Row>, Unmapped>, RuleError> {
        if !self.selects(&row)? {
            return Ok(Ok(None));
        }
        let (row, reason) = Self::carried(&self.source, &self.targets[0], row);
        Ok(match reason {
            None => Ok(Some(row)),
            Some(reason) => Err(Unmapped {
                reason,
                key: Some(self.targets[0].key(&row)),
            }),
        })
    }

    /// Source rows as a comparison with the target's wants them; see [`Self::comparable_form`].
    pub(super) fn comparable_row(&self, row: Row) -> Row {
        Self::carried(&self.source, &self.targets[0], row).0
    }

    /// Why a target row of a mapping by columns cannot get to the source, if it cannot.
    pub fn unreturnable(&self, row: &Row) -> Option<String> {
        Self::carried(&self.targets[0], &self.source, row.clone()).1
    }

    /// Why a source row may not be there for a target row's sake: it lies outside `where`.
    pub fn outside(&self, source_row: &[Value]) -> Result<Option<String>, RuleError> {
        if self.selects(source_row)? {
            return Ok(None);
        }
        Ok(Some(match &self.filter_sql {
            Some(sql) => format!("outside `where` ({sql})"),
            None => "outside `where`".to_owned(),
        }))
    }

    /// Why a source row is none of the target's, although its key is: what stands there is not to
    /// be overwritten from the target. `mapped` is what the mapping made of it for target table
    /// `target`.
    pub fn foreign(
        &self,
        target: usize,
        source_row: &[Value],
        mapped: Option<&Row>,
    ) -> Result<Option<String>, RuleError> {
        // Of a row that is split off the transform may say that there is none yet.
        if mapped.is_some() || target > 0 {
            return Ok(None);
        }
        Ok(match (self.outside(source_row)?, &self.how) {
            (Some(outside), _) => Some(format!("the source's row with this key lies {outside}")),
            (None, How::Rule(rule)) => Some(format!(
                "the source's row with this key is dropped by transform {}",
                rule.describe().name
            )),
            (None, How::Columns) => None,
        })
    }
}

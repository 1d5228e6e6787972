//! Rows through their mappings, and which of them are refused.

use crate::data::Row;
use crate::database::{OpenState, Refusal, SyncStore};
use crate::error::{Error, ErrorKind, Result};
use crate::rule::mapping::{MappedTable, Unmapped};
use crate::rule::{ConflictKind, OnFailure, RuleError};

use super::engine::Engine;

/// What a source row is in each of its target tables.
pub(super) type Mapped = std::result::Result<Vec<Option<Row>>, Unmapped>;

impl<S: SyncStore> Engine<S> {
    /// Maps rows forward; if the rule fails on the batch, row by row, so that only the guilty rows
    /// fail.
    pub(super) fn forward_each(&self, mapping: usize, rows: Vec<Row>) -> Result<Vec<Mapped>> {
        let map = &self.plan.mappings[mapping];
        let refuse = |error: RuleError| -> Result<Unmapped> {
            for unit in self.plan.units_of(mapping) {
                self.halt_if_asked(unit, &error)?;
            }
            Ok(Unmapped {
                reason: error.to_string(),
                key: None,
            })
        };
        let mut out = Vec::with_capacity(rows.len());
        if !map.is_transformed() {
            for row in rows {
                out.push(match map.forward_row(row) {
                    Ok(mapped) => mapped.map(|row| vec![row]),
                    Err(error) => Err(refuse(error)?),
                });
            }
            return Ok(out);
        }
        let keyless: Vec<Option<String>> = rows.iter().map(|r| map.source.keyless(r)).collect();
        match map.forward(rows.clone()) {
            Ok(rows) => out.extend(rows.into_iter().map(Ok)),
            Err(_) => {
                for row in rows {
                    out.push(match map.forward(vec![row]) {
                        Ok(mut rows) => Ok(rows.pop().unwrap_or_default()),
                        Err(error) => Err(refuse(error)?),
                    });
                }
            }
        }
        for (mapped, keyless) in out.iter_mut().zip(keyless) {
            let Ok(targets) = mapped else { continue };
            let of_target = |(side, row): (&MappedTable, &Option<Row>)| side.keyless(row.as_ref()?);
            let keyless = keyless.filter(|_| targets.iter().any(Option::is_some));
            if let Some(reason) =
                keyless.or_else(|| map.targets.iter().zip(targets.iter()).find_map(of_target))
            {
                *mapped = Err(Unmapped { reason, key: None });
            }
        }
        Ok(out)
    }

    pub(super) fn halt_if_asked(&self, unit: usize, error: &RuleError) -> Result<()> {
        if self.plan.units[unit].on_failure == OnFailure::Halt {
            return Err(halt(error));
        }
        Ok(())
    }

    /// Why a unit's row `row` cannot be `source` in the source's table: that lies outside `where`,
    /// or cells would come back as something else.
    pub(super) fn unreturnable(
        &self,
        unit: usize,
        row: Option<&Row>,
        source: Option<&Row>,
    ) -> Result<Option<String>> {
        let (Some(row), Some(source)) = (row, source) else {
            return Ok(None);
        };
        let mapping = self.plan.mapping(unit);
        if !mapping.is_transformed()
            && let Some(reason) = mapping.unreturnable(row)
        {
            return Ok(Some(reason));
        }
        match mapping.outside(source) {
            Ok(outside) => Ok(outside.map(|o| {
                format!("the row would lie {o} in the source, so it would not take part there")
            })),
            Err(error) => {
                self.halt_if_asked(unit, &error)?;
                Ok(Some(error.to_string()))
            }
        }
    }

    /// Why the source's row under a unit's key is not to be overwritten from the target; see
    /// [`crate::rule::mapping::TableMapping::foreign`].
    pub(super) fn foreign(
        &self,
        unit: usize,
        source: Option<&Row>,
        mapped: Option<&Row>,
    ) -> Result<Option<String>> {
        let Some(source) = source else {
            return Ok(None);
        };
        let target = self.plan.units[unit].target;
        match self.plan.mapping(unit).foreign(target, source, mapped) {
            Ok(foreign) => Ok(foreign),
            Err(error) => {
                self.halt_if_asked(unit, &error)?;
                Ok(Some(error.to_string()))
            }
        }
    }
}

/// A row that a mapping cannot carry: a person must look at it.
pub(super) fn failed(reason: String) -> Refusal {
    Refusal {
        kind: ConflictKind::ValueNotRepresentable,
        state: OpenState::Parked,
        reason,
    }
}

pub(super) fn halt(error: &RuleError) -> Error {
    Error::new(ErrorKind::Rule, error.to_string())
        .hint("correct the rule and start again; nothing was lost, the change waits in its log")
}

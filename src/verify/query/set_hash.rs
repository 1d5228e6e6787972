//! `set_hash(a, b, …)`: a digest of a set of rows, whatever their order, as 64 hex digits.
//!
//! Rows are counted: two copies of a row are another set than one. Sets have one digest exactly if they
//! hold the same rows, each as often. It is LtHash (Bellare and Micciancio 1997; Lewi et al. 2019,
//! "Securing Update Propagation with Homomorphic Hashing"): each row's canonical bytes become 1,024
//! numbers of 16 bits, which are added up; the digest is blake3 of the sums and the number of rows.
//! XOR, CRC and sums of 64 bits let differences cancel out; this needs no secret key for it.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, UInt64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};

use super::row_hash::each_row;

/// Numbers that are added up.
const LANES: usize = 1024;

/// The function.
pub(super) fn function() -> AggregateUDF {
    AggregateUDF::from(SetHash {
        signature: Signature::variadic_any(Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SetHash {
    signature: Signature,
}

impl AggregateUDFImpl for SetHash {
    fn name(&self) -> &'static str {
        "set_hash"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(DataFusionError::Plan(
                "set_hash counts its rows; write set_hash(…) over SELECT DISTINCT … instead of \
                 set_hash(DISTINCT …)"
                    .to_owned(),
            ));
        }
        Ok(Box::new(Sums::default()))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let field = |what: &str, t| Arc::new(Field::new(format!("{}[{what}]", args.name), t, true));
        Ok(vec![
            field("rows", DataType::UInt64),
            field("sums", DataType::Binary),
        ])
    }
}

#[derive(Debug)]
struct Sums {
    rows: u64,
    lanes: Box<[u16; LANES]>,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            rows: 0,
            lanes: Box::new([0; LANES]),
        }
    }
}

impl Sums {
    fn bytes(&self) -> Vec<u8> {
        self.lanes
            .iter()
            .flat_map(|lane| lane.to_le_bytes())
            .collect()
    }

    fn add(&mut self, bytes: &[u8], sign: impl Fn(u16, u16) -> u16) {
        for (lane, pair) in self.lanes.iter_mut().zip(bytes.chunks_exact(2)) {
            *lane = sign(*lane, u16::from_le_bytes([pair[0], pair[1]]));
        }
    }

    fn each(&mut self, values: &[ArrayRef], sign: impl Fn(u16, u16) -> u16) -> Result<u64> {
        let rows = values.first().map_or(0, Array::len);
        let mut spread = [0; LANES * 2];
        each_row(values, rows, |bytes| {
            blake3::Hasher::new()
                .update(bytes)
                .finalize_xof()
                .fill(&mut spread);
            self.add(&spread, &sign);
        })?;
        Ok(rows as u64)
    }
}

impl Accumulator for Sums {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows += self.each(values, u16::wrapping_add)?;
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let digest = blake3::Hasher::new()
            .update(&self.rows.to_le_bytes())
            .update(&self.bytes())
            .finalize();
        Ok(ScalarValue::Utf8(Some(digest.to_hex().to_string())))
    }

    fn size(&self) -> usize {
        size_of_val(self) + LANES * 2
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::UInt64(Some(self.rows)),
            ScalarValue::Binary(Some(self.bytes())),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states[0].as_primitive::<UInt64Type>();
        let sums = states[1].as_binary::<i32>();
        for i in 0..rows.len() {
            self.rows += rows.value(i);
            self.add(sums.value(i), u16::wrapping_add);
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows -= self.each(values, u16::wrapping_sub)?;
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}

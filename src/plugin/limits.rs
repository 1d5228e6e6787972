//! What a rule may use for one batch.

use wasmtime::ResourceLimiter;

/// Fuel for each byte of the batch: reading a long text is work, too.
const FUEL_PER_BYTE: u64 = 32;
/// Elements of all tables of an instance. Rust guests have some hundred.
const TABLE_ELEMENTS_MAX: usize = 50_000;

/// What a rule may use for one batch. Fuel counts roughly WebAssembly instructions and is the same
/// on every machine; the time limit is the alarm behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Memory of an instance, in MiB.
    pub memory_mb: u32,
    /// Time for a whole batch, in milliseconds: instantiation, `open` and the question. 1,000 rows
    /// take about a millisecond; the alarm is set so far off that fuel, which does not depend on
    /// the machine, strikes first.
    pub call_ms: u64,
    /// Fuel for a batch without rows. Every byte of the batch adds 32.
    pub fuel_base: u64,
    /// Fuel added for each row.
    pub fuel_per_row: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mb: 64,
            call_ms: 1_000,
            fuel_base: 10_000_000,
            fuel_per_row: 20_000,
        }
    }
}

impl Limits {
    /// The fuel for a batch of so many rows and bytes.
    #[must_use]
    pub fn fuel(&self, rows: usize, bytes: usize) -> u64 {
        self.fuel_base
            .saturating_add(self.fuel_per_row.saturating_mul(rows as u64))
            .saturating_add(FUEL_PER_BYTE.saturating_mul(bytes as u64))
    }

    /// The memory limit in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.memory_mb as usize * 1024 * 1024
    }
}

/// Counts the memory of one instance and traps where it would exceed the limit, so that the
/// failure is known for what it is.
#[derive(Debug)]
pub(super) struct MemoryLimiter {
    limit: usize,
    used: usize,
    /// What the guest asked for when it was stopped, in bytes.
    pub(super) refused: Option<usize>,
}

impl MemoryLimiter {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            refused: None,
        }
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.used.saturating_add(desired.saturating_sub(current));
        if total > self.limit {
            self.refused = Some(total);
            wasmtime::bail!("memory limit");
        }
        self.used = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS_MAX {
            self.refused = Some(desired.saturating_mul(8));
            wasmtime::bail!("table limit");
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

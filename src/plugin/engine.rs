//! The wasmtime engine, the clock that stops spinning guests, and the slots in which batches run.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::error::{Error, ErrorKind, Result};

/// How often the epoch moves. Deadlines are counted in it.
const TICK: Duration = Duration::from_millis(1);
/// Batches that may run at the same time; more wait.
const SLOTS: u32 = 32;
/// A component made from an interpreter (Python) holds more than 32 core instances.
const CORE_INSTANCES: u32 = 64;

/// An engine with its ticker.
#[derive(Debug)]
pub(super) struct Runtime {
    engine: Engine,
    pooled: bool,
    ticker: Ticker,
    slots: Slots,
}

impl Runtime {
    /// An engine that pools instances where the address space allows it.
    pub(super) fn new() -> Result<Self> {
        // Pooling reserves some hundred GiB of address space, which `ulimit -v` or a small machine
        // may refuse; instances then cost some microseconds more.
        let (engine, pooled) = match Engine::new(&config(true)) {
            Ok(engine) => (engine, true),
            Err(_) => {
                let engine = Engine::new(&config(false)).map_err(|e| {
                    Error::new(
                        ErrorKind::Rule,
                        "cannot start the WebAssembly engine on this machine",
                    )
                    .caused_by(e)
                })?;
                (engine, false)
            }
        };
        let ticker = Ticker::start(&engine)?;
        Ok(Self {
            engine,
            pooled,
            ticker,
            slots: Slots::new(SLOTS as usize),
        })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn pooled(&self) -> bool {
        self.pooled
    }

    /// Waits for a free slot, and keeps the clock running while it is held.
    pub(super) fn enter(&self) -> Slot<'_> {
        self.slots.take();
        self.ticker.begin();
        Slot(self)
    }
}

/// The right to run one batch.
#[derive(Debug)]
pub(super) struct Slot<'a>(&'a Runtime);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.ticker.end();
        self.0.slots.give_back();
    }
}

fn config(pooling: bool) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .consume_fuel(true)
        .epoch_interruption(true)
        // The same answer on every machine.
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .max_wasm_stack(512 * 1024);
    if pooling {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(SLOTS)
            .total_core_instances(SLOTS * CORE_INSTANCES)
            .max_core_instances_per_component(CORE_INSTANCES)
            .total_memories(SLOTS * 2)
            .max_memories_per_component(16)
            .total_tables(SLOTS * 2)
            .max_tables_per_component(CORE_INSTANCES)
            .table_elements(60_000)
            .max_component_instance_size(10 << 20)
            .max_core_instance_size(10 << 20)
            .linear_memory_keep_resident(2 << 20)
            .table_keep_resident(64 << 10)
            // Only what a batch touched is zeroed, where the system can tell (Linux 6.7).
            .pagemap_scan(Enabled::Auto);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

/// Moves the engine's epoch once a millisecond while a batch runs, and sleeps otherwise.
#[derive(Debug)]
struct Ticker {
    shared: Arc<TickerShared>,
    thread: Thread,
    join: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct TickerShared {
    running: AtomicUsize,
    stopped: AtomicBool,
}

impl Ticker {
    fn start(engine: &Engine) -> Result<Self> {
        let shared = Arc::new(TickerShared::default());
        let engine = engine.weak();
        let state = Arc::clone(&shared);
        let join = std::thread::Builder::new()
            .name("plugin-clock".to_owned())
            .spawn(move || {
                while !state.stopped.load(Ordering::SeqCst) {
                    if state.running.load(Ordering::SeqCst) == 0 {
                        std::thread::park();
                        continue;
                    }
                    let mut ticked = Instant::now();
                    while state.running.load(Ordering::SeqCst) > 0 {
                        std::thread::sleep(TICK);
                        let Some(engine) = engine.upgrade() else {
                            return;
                        };
                        // A late wake-up makes up for the ticks it missed: no drift.
                        while ticked.elapsed() >= TICK {
                            ticked += TICK;
                            engine.increment_epoch();
                        }
                    }
                }
            })
            .map_err(|e| {
                Error::new(ErrorKind::Rule, "cannot start the plugin clock's thread").caused_by(e)
            })?;
        Ok(Self {
            shared,
            thread: join.thread().clone(),
            join: Some(join),
        })
    }

    fn begin(&self) {
        if self.shared.running.fetch_add(1, Ordering::SeqCst) == 0 {
            self.thread.unpark();
        }
    }

    fn end(&self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
        if let Some(join) = self.join.take() {
            // A panic in the clock has nothing to tell that its absence does not.
            drop(join.join());
        }
    }
}

/// A counting semaphore.
#[derive(Debug)]
struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    fn new(free: usize) -> Self {
        Self {
            free: Mutex::new(free),
            freed: Condvar::new(),
        }
    }

    fn take(&self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self
                .freed
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
    }

    fn give_back(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
    }
}

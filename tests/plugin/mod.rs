//! Rules as WebAssembly components: loading, hostile guests, reloading, the samples.

mod hostile;
mod load;
mod reload;
mod samples;
mod support;

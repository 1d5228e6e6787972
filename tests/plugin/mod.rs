//! Rules as WebAssembly components: loading, hostile guests, reloading, the samples.

mod samples;
mod support;

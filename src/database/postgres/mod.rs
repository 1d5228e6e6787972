//! PostgreSQL, 14 and later.

mod assemble;
mod capture;
mod capture_names;
mod catalogue;
mod failure;
mod identity;
mod kind;
#[cfg(test)]
mod live;
mod opening;
mod origin;
mod pgoutput;
mod preflight;
mod publication;
mod queue;
mod reader;
mod relation;
mod replication;
mod slot;
mod spill;
mod stream;
mod text;

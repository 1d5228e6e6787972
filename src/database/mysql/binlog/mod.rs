//! The binary log as a change feed.
//!
//! - [`capture`]: whose log it is, and whether it holds what is needed.
//! - [`stream`]: opening it; [`follow`]: events become transactions; [`queue`]: up to the reader.
//! - [`event`], [`layout`], [`rows`], [`wire`]: how the log is laid out; [`cell`]: what a value is.
//! - [`statement`], [`watched`]: noticing that a captured table is changed.

mod capture;
mod cell;
mod charset;
mod check;
mod event;
mod follow;
mod inet;
mod jsonb;
mod layout;
mod moment;
mod place;
mod prepared;
mod queue;
mod rows;
mod statement;
mod stream;
mod transaction;
mod watched;
mod wire;

pub(super) use capture::Log;
pub(in crate::database) use stream::MysqlStream;

//! The verifier, from outside.

mod alert;
mod catalogue;
mod command;
mod compare;
mod constraints;
mod corruptions;
mod evidence;
mod fidelity;
mod files;
mod live;
mod memory;
mod moving;
mod parts;
mod proof;
mod query;
mod readers;
mod reconcile;
mod sample;
mod servers;
mod sqlite;
mod strategy;
mod support;
mod transformed;
mod workers;

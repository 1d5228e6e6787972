//! Creating tables.

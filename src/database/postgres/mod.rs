//! PostgreSQL, 14 and later.

mod kind;

//! PostgreSQL, 14 and later.

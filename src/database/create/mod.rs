//! Tables of a new database, made after those of the old one, and the published table of types.

mod default;
mod document;
pub(in crate::database) mod mappings;
mod table;
pub(in crate::database) mod types;

pub use document::type_document;
pub use table::{Created, add_column, create_table};

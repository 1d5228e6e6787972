//! MariaDB 10.11 and later, MySQL 8.

mod binlog;
mod kind;

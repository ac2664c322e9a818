//! The site's databases: SQLite, PostgreSQL, MySQL and MariaDB behind one type.

mod named;

use crate::boot::Record;

pub use named::{NamedQueries, NamedQuery, Source};

/// What a query found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// The rows, in the query's order.
    pub records: Vec<Record>,
    /// How old the rows are, when the database failed and its last answer stands in.
    pub age: Option<std::time::Duration>,
}

//! What is wrong in a file of cases.

/// What is wrong in a case, and where.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Octets before it in the file.
    pub(super) offset: usize,
    pub(super) message: String,
}

pub(super) fn wrong<T>(offset: usize, message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { offset, message: message.into() })
}

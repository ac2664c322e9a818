//! What the scripts of a site can reach beside their files, and what they may keep.

use std::fmt;

use crate::store::Store;
use crate::upstream::WebServices;

/// What the scripts of a site can reach.
#[derive(Clone, Default)]
pub struct Reach {
    /// The web services that they may ask.
    pub web: WebServices,
    /// Where the notes of machines are; without it there are none.
    pub store: Option<Store>,
    /// Whether what they note and count is kept, and what they post is sent: not where they are only tried.
    pub keeps: bool,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").field("web", &self.web).field("keeps", &self.keeps).finish_non_exhaustive()
    }
}

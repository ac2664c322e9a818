//! Who is verified, and who is not.

use super::*;

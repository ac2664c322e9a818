//! Who is verified, and who is not.


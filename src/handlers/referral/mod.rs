//! The `referral` handler: other boot servers that this one leans on.

#[cfg_attr(not(test), expect(dead_code, reason = "the handler that calls it comes next"))]
mod redirect;

//! What a script may use.

use std::time::Duration;

/// The limits of one run of a script. The defaults suit every script that was written for people to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Steps of a run on the caller's thread; a run that needs more begins anew in the background.
    pub inline_operations: u64,
    /// Time of a run on the caller's thread.
    pub inline_time: Duration,
    /// Steps of a run in the background.
    pub operations: u64,
    /// Time of `allow_boot` in the background.
    pub allow_boot: Duration,
    /// Time of `boot_images` in the background.
    pub boot_images: Duration,
    /// Runs in the background at once; more wait for their turn.
    pub background_runs: usize,
    /// How much the process may grow during a run in the background, in octets.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            inline_operations: 20_000,
            inline_time: Duration::from_millis(1),
            operations: 50_000_000,
            allow_boot: Duration::from_secs(2),
            boot_images: Duration::from_secs(10),
            background_runs: 64,
            memory: 512 << 20,
        }
    }
}

/// How deep functions may call each other. With [`EXPRESSION_DEPTH_MAX`] it bounds the stack: about 5 KiB for a call
/// and 1.2 KiB for a level of an expression, so that the deepest run takes 1.2 of the 2 MiB of a thread of Tokio's
/// (measured in a release build: 1,213 KiB for `max(1, ...)` in each other, traced or not; 1,165 KiB without Rhai's
/// debugger in the build). Debug builds need four times as much.
pub(super) const CALLS_DEPTH_MAX: usize = if cfg!(debug_assertions) { 6 } else { 20 };
/// How deep expressions may nest. Each `else if` and each `+` of a chain is a level.
pub(super) const EXPRESSION_DEPTH_MAX: usize = if cfg!(debug_assertions) { 32 } else { 48 };
/// Text in one value, in octets. Rhai adds up all the text inside an array or map.
pub(super) const TEXT_LEN_MAX: usize = 256 << 10;
/// Elements in one array or map, with those of the arrays and maps inside. Small, because Rhai counts them all again
/// with each that is added.
pub(super) const ELEMENTS_MAX: usize = 1024;
/// Variables at once.
pub(super) const VARIABLES_MAX: usize = 1024;
/// Functions in one file.
pub(super) const FUNCTIONS_MAX: usize = 1024;
/// Imports that run for one question.
pub(super) const MODULES_MAX: usize = 64;
/// The largest script file, in octets.
pub(super) const SCRIPT_LEN_MAX: u64 = 1 << 20;
/// Lines that one run may log.
pub(super) const LOG_LINES_MAX: usize = 100;
/// The longest logged line, in octets.
pub(super) const LOG_LINE_LEN_MAX: usize = 1024;

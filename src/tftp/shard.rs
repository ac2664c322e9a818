//! Threads that do nothing but serve transfers: each runs its own single-threaded runtime.
//!
//! A lock-step transfer lives by the time between ACK and DATA. On the daemon's shared runtime a packet
//! may wait behind other tasks, and waking costs a hand-over between threads; here it costs neither.
//!
//! **Invariant**: only socket tasks run here; nothing that may block.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// A thread with a runtime of its own.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) runtime: Handle,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Shard {
    pub(super) fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().event_interval(EVENT_INTERVAL).build()?;
        let handle = runtime.handle().clone();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name(format!("tftp-{number}"))
            .spawn(move || runtime.block_on(stopped.cancelled()))?;
        Ok(Self { runtime: handle, stop, thread: Some(thread) })
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Task runs between two looks at the sockets: every task here waits for a socket, so look often.
const EVENT_INTERVAL: u32 = 16;

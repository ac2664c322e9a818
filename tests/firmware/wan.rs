//! A wide area network: everything that goes through it is late, slow and sometimes lost.
//!
//! Frames go between two interfaces of a namespace of its own through this process, because not every kernel has
//! `netem`. One thread receives and says when a frame leaves the other end, one waits until then.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket,
};
use nix::sys::time::TimeVal;

/// How a WAN is, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    /// From one end to the other; half of a round trip.
    pub(crate) delay: Duration,
    /// Octets in a second.
    pub(crate) rate: u64,
    /// Frames lost of ten thousand.
    pub(crate) loss: u64,
}

/// A WAN at work; ends when dropped.
pub(crate) struct Wan {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// How long a frame may wait for the link: a router's queue.
const QUEUE_MAX: Duration = Duration::from_millis(200);
/// How often the threads look whether it is over.
const POLL_US: i64 = 100_000;

impl Wan {
    /// Joins two interfaces of this namespace.
    pub(crate) fn join(namespace: &str, ends: [&str; 2], link: Link) -> Wan {
        let file = File::open(format!("/run/netns/{namespace}")).expect("the namespace was just made");
        let [one, other] = ends.map(str::to_owned);
        // A socket belongs to the namespace of the thread that makes it; this thread stays where it is.
        let sockets = thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).expect("tests of the lab run as root");
            [raw_socket(&one), raw_socket(&other)].map(Arc::new)
        });
        let [one, other] = sockets.join().expect("both interfaces are there");
        let is_over = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (from, to, seed) in [(&one, &other, 1), (&other, &one, 2)] {
            let (sender, receiver) = channel();
            let (from, to, over) = (Arc::clone(from), Arc::clone(to), Arc::clone(&is_over));
            threads.push(thread::spawn(move || take_in(&from, &sender, link, seed, &over)));
            threads.push(thread::spawn(move || let_out(&to, &receiver)));
        }
        Wan { is_over, threads }
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn raw_socket(interface: &str) -> OwnedFd {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
        .expect("tests of the lab run as root");
    let mut addresses = getifaddrs().expect("the kernel lists interfaces");
    let address = addresses
        .find_map(|found| found.address.filter(|_| found.interface_name == interface)?.as_link_addr().copied())
        .unwrap_or_else(|| panic!("there is no interface {interface}"));
    bind(socket.as_raw_fd(), &address).unwrap_or_else(|error| panic!("{interface}: {error}"));
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(0, POLL_US)).expect("a limit above zero is valid");
    socket
}

type Frame = (Instant, Vec<u8>);

/// Receives frames and decides when they leave the other end, if they do.
fn take_in(from: &OwnedFd, sender: &Sender<Frame>, link: Link, seed: u64, is_over: &AtomicBool) {
    let mut frame = vec![0; 65_536];
    let mut free_at = Instant::now();
    let mut random = seed;
    while !is_over.load(Ordering::Relaxed) {
        let length = match recv(from.as_raw_fd(), &mut frame, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => panic!("the WAN cannot receive: {error}"),
        };
        let now = Instant::now();
        free_at = free_at.max(now);
        // Any sequence will do that is the same in each run.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (random >> 33) % 10_000 < link.loss || free_at - now > QUEUE_MAX {
            continue;
        }
        free_at += Duration::from_secs_f64(length as f64 / link.rate as f64);
        if sender.send((free_at + link.delay, frame[..length].to_vec())).is_err() {
            return;
        }
    }
}

/// Sends each frame when it is time.
fn let_out(to: &OwnedFd, receiver: &Receiver<Frame>) {
    for (at, frame) in receiver {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        // A cable that is pulled out loses frames too.
        let _ = send(to.as_raw_fd(), &frame, MsgFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use crate::lab::Lab;
    use crate::network::UPSTREAM_ON_WAN;

    use super::*;

    #[test]
    fn an_answer_over_a_far_wan_takes_a_round_trip() {
        let Some(lab) = Lab::open("wan") else { return };
        let _wan =
            lab.network.join_upstream_by_far_wan(Link { delay: Duration::from_millis(40), rate: 2_500_000, loss: 0 });
        let file = File::open(format!("/run/netns/{}", lab.network.namespace("boot"))).expect("it was just made");
        let refused = thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).expect("tests of the lab run as root");
            // The first one asks for the hardware address as well.
            let connect = || {
                TcpStream::connect_timeout(
                    &format!("{UPSTREAM_ON_WAN}:9").parse().expect("an address"),
                    Duration::from_secs(20),
                )
            };
            let _ = connect();
            let started = Instant::now();
            (connect().expect_err("nobody listens there"), started.elapsed())
        });
        let (error, took) = refused.join().expect("the thread does not panic");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        assert!(took >= Duration::from_millis(80), "{took:?}");
    }
}

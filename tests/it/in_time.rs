//! What firmware and iPXE wait for comes at once, and what comes too late is not sent.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{Daemon, PATIENCE, Site};
use crate::menus::{Client, SILENCE, packet};

/// How long a client may be kept waiting for an error.
const AT_ONCE: Duration = Duration::from_millis(10);
/// The machine that runs the tests does other things too: one of so many must be in time.
const TRIES: usize = 20;

fn fastest_error(daemon: &Daemon, name: &str) -> Duration {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("\0\x01{name}\0octet\0blksize\x001432\0tsize\x000\0");
    let took = (0..TRIES).map(|_| {
        let since = Instant::now();
        socket.send_to(request.as_bytes(), ("127.0.0.1", daemon.port("tftp"))).unwrap();
        let mut answer = [0; 600];
        let len = socket.recv(&mut answer).unwrap();
        assert_eq!(answer[..len.min(4)], [0, 5, 0, 1], "{name}: ERROR 1");
        since.elapsed()
    });
    took.min().unwrap()
}

/// Conformance cases 47 and 89: EFI builds of iPXE look for scripts beside themselves before anything else.
#[test]
fn a_file_that_is_not_there_is_an_error_within_ten_milliseconds() {
    let site = Site::with_rules("fn allow_boot(request) { allow() }\nfn boot_images(request) { local_disk() }\n");
    let daemon = site.serve();
    // With a session and without; where nobody asked DHCP, nothing is at the second name either.
    let offer = Client::new(&daemon).ask("dhcp", &packet(1, 1, 0, None)).expect("an offer");
    let path = String::from_utf8_lossy(&offer[108..236]).trim_end_matches('\0').to_owned();
    let folder = path.rsplit_once('/').unwrap().0;
    let missing = format!("{folder}/nothing.efi");
    for name in ["nothing.efi", "ipxe/autoexec.ipxe", "loaders/autoexec.ipxe", &missing] {
        let took = fastest_error(&daemon, name);
        assert!(took < AT_ONCE, "{name}: {took:?}");
    }
}

/// An upstream of pixiecore's kind, which answers nobody until it is let go, and then that it knows nothing.
fn slow_upstream() -> (u16, Arc<(Mutex<bool>, Condvar)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let gate: Arc<(Mutex<bool>, Condvar)> = Arc::default();
    let kept = Arc::clone(&gate);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let gate = Arc::clone(&kept);
            std::thread::spawn(move || {
                let mut room = [0; 4096];
                if stream.read(&mut room).is_ok_and(|len| len > 0) {
                    drop(gate.1.wait_while(gate.0.lock().unwrap(), |open| !*open).unwrap());
                    let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    let _gone_already = stream.write_all(answer);
                }
            });
        }
    });
    (port, gate)
}

/// Conformance case 49: the client goes on without, the log says so, and it is answered at once when it asks again.
#[test]
fn an_answer_that_comes_too_late_is_not_sent_and_told_in_the_log() {
    let (port, gate) = slow_upstream();
    let site = Site::with_rules("fn allow_boot(request) { allow() }\nfn boot_images(request) { local_disk() }\n");
    site.edit("pointsman.toml", |text| {
        let upstream = format!(
            "\n[upstream.up]\nkind = \"pixiecore\"\nurl = \"http://127.0.0.1:{port}/\"\nallow_boot_limit = \"20s\"\n\
             [[handler]]\nkind = \"referral\"\nupstreams = [\"up\"]\n"
        );
        text.replacen("\n[[handler]]\n", &format!("{upstream}[[handler]]\n"), 1)
    });
    // Longer than any client waits.
    site.configure("decision", "allow_boot_limit = \"20s\"");
    let daemon = site.serve();
    let client = Client::new(&daemon);
    let since = Instant::now();
    assert!(client.ask("dhcp", &packet(7, 1, 0, None)).is_none(), "not yet");
    let late = daemon.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.starts_with("late answer")));
    assert!(since.elapsed() >= Duration::from_secs(2), "{late}");
    assert_eq!(late["mac"], "52:54:00:00:00:07");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    daemon.wait_for_log(|line| line["message"] == "boot decided");
    let again = Instant::now();
    // What was decided meanwhile is this answer, and not one to the question of before.
    let mut second = packet(7, 1, 4, None);
    second[7] = 0x70;
    assert!(client.ask_for("dhcp", &second, PATIENCE).is_some());
    assert!(again.elapsed() < Duration::from_secs(2));
    assert!(client.ask_for("boot_server", &[], SILENCE).is_none(), "nothing else came");
}

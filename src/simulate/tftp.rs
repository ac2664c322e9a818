//! A TFTP client as firmware is: probes the size and aborts, then loads in windows.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::StepError;

const BLKSIZE: usize = 1468;
const WINDOWSIZE: u16 = 4;
const WAIT: Duration = Duration::from_secs(1);
const TRIES: u32 = 6;
/// Larger than any boot loader.
const SIZE_MAX: usize = 64 * 1024 * 1024;

/// Loads a file. With `probe` it first asks for the size and aborts, as EDK2 does.
pub(super) async fn load(local: IpAddr, server: SocketAddr, name: &str, probe: bool) -> Result<Vec<u8>, StepError> {
    if probe {
        let socket = UdpSocket::bind((local, 0)).await?;
        let request = request(name, &[("tsize", "0"), ("blksize", "1468"), ("windowsize", "4")]);
        let (reply, peer) = exchange(&socket, server, &request).await?;
        match opcode(&reply) {
            Some(6) => socket.send_to(&error(8, "User aborted the transfer"), peer).await?,
            _ => return Err(refusal(&reply)),
        };
    }
    let socket = UdpSocket::bind((local, 0)).await?;
    let request = request(name, &[("blksize", "1468"), ("windowsize", "4")]);
    let (reply, peer) = exchange(&socket, server, &request).await?;
    match opcode(&reply) {
        Some(6) => receive(&socket, peer).await,
        _ => Err(refusal(&reply)),
    }
}

/// The packet of a read request (RFC 1350 section 5, RFC 2347).
fn request(name: &str, options: &[(&str, &str)]) -> Vec<u8> {
    let words = [name, "octet"].into_iter().chain(options.iter().flat_map(|(name, value)| [*name, *value]));
    let mut packet = vec![0, 1];
    for word in words {
        packet.extend(word.as_bytes());
        packet.push(0);
    }
    packet
}

fn error(code: u8, text: &str) -> Vec<u8> {
    [&[0, 5, 0, code], text.as_bytes(), &[0]].concat()
}

fn opcode(packet: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(packet.get(..2)?.try_into().ok()?))
}

fn refusal(packet: &[u8]) -> StepError {
    match packet {
        [0, 5, _, code, text @ ..] => {
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            StepError::new(format!("TFTP error {code}: {}", String::from_utf8_lossy(text)))
        }
        _ => StepError::new("the TFTP server answered neither with options nor with an error"),
    }
}

async fn exchange(socket: &UdpSocket, to: SocketAddr, packet: &[u8]) -> Result<(Vec<u8>, SocketAddr), StepError> {
    let mut buffer = vec![0; 2048];
    for _ in 0..TRIES {
        socket.send_to(packet, to).await?;
        if let Ok(received) = timeout(WAIT, socket.recv_from(&mut buffer)).await {
            let (len, peer) = received?;
            buffer.truncate(len);
            return Ok((buffer, peer));
        }
    }
    Err(StepError::new(format!("no answer from the TFTP server at {to}")))
}

async fn receive(socket: &UdpSocket, peer: SocketAddr) -> Result<Vec<u8>, StepError> {
    let mut content = Vec::new();
    let mut buffer = vec![0; BLKSIZE + 4];
    let (mut last, mut unacknowledged, mut tries) = (0_u16, 0, 0);
    let ack = |block: u16| [&[0, 4][..], &block.to_be_bytes()].concat();
    socket.send_to(&ack(0), peer).await?;
    loop {
        let Ok(received) = timeout(WAIT, socket.recv_from(&mut buffer)).await else {
            tries += 1;
            if tries == TRIES {
                return Err(StepError::new(format!("the TFTP server fell silent after {} octets", content.len())));
            }
            socket.send_to(&ack(last), peer).await?;
            continue;
        };
        let (len, from) = received?;
        let packet = &buffer[..len];
        let (Some(3), Some(block)) = (opcode(packet), packet.get(2..4)) else { return Err(refusal(packet)) };
        let block = u16::from_be_bytes([block[0], block[1]]);
        if from != peer || block != last.wrapping_add(1) {
            continue;
        }
        (last, tries, unacknowledged) = (block, 0, unacknowledged + 1);
        content.extend(&packet[4..]);
        if content.len() > SIZE_MAX {
            return Err(StepError::new("the file is larger than any boot loader"));
        }
        let is_last = len < BLKSIZE + 4;
        if is_last || unacknowledged == WINDOWSIZE {
            socket.send_to(&ack(last), peer).await?;
            unacknowledged = 0;
        }
        if is_last {
            return Ok(content);
        }
    }
}

//! One question on its way to its answer: decided, held back, sent.
//!
//! **Invariant**: nothing that is decided, and no decision that panics, is more than this one question's end; what is held
//! back is dropped when the server ends.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::{debug, error, warn};

use super::super::server::{DELAY_MAX, DhcpAnswer, DhcpDecision, DhcpQuestion, REPLY_TIME_MAX};
use super::super::socket::Socket;
use super::counters::Counters;
use super::packet::MessageType;
use super::question::Asked;
use super::reply::{Reply, ReplyContext, reply};
use super::server::Shared;
use crate::net::udp::Source;

/// A question, and where it came in.
pub(super) struct Seen {
    pub(super) asked: Asked,
    pub(super) server: Ipv6Addr,
    pub(super) local: Ipv6Addr,
    pub(super) ifindex: u32,
}

impl Seen {
    /// The reply, and how long it is held back; none where there is nothing to say.
    pub(super) async fn decided(&self, question: DhcpQuestion, shared: &Shared) -> Option<(Reply, Duration)> {
        let (counters, mac) = (&shared.counters, self.asked.caller.client.hardware);
        let answers = Arc::clone(&shared.answers);
        // A panic ends this one question.
        let answer: BoxFuture<'static, DhcpDecision> = async move { answers.answer(question).await }.boxed();
        let answer = tokio::time::timeout(REPLY_TIME_MAX, AssertUnwindSafe(answer).catch_unwind()).await;
        let decision = match answer {
            Ok(Ok(decision)) => decision,
            Ok(Err(_)) => {
                counters.panicked.increment();
                error!(%mac, "a decision panicked; the client gets no answer");
                return None;
            }
            Err(_) => {
                counters.late.increment();
                warn!(%mac, "late answer: not sent, the client has gone on");
                return None;
            }
        };
        let file = match decision.answer {
            DhcpAnswer::Silent => {
                counters.ignored.increment();
                return None;
            }
            DhcpAnswer::Boot { file, next_server: None } => file,
            _ => {
                let text = "a boot server with an IPv4 address cannot be named to a machine that boots by IPv6";
                shared.mistake(&mac, text.to_owned());
                return None;
            }
        };
        let context = ReplyContext { server_id: &shared.server_id, server: self.server, file: &file };
        let reply = reply(&self.asked, &context).map_err(|mistake| shared.mistake(&mac, mistake.to_string()));
        Some((reply.ok()?, decision.treatment.delay.min(DELAY_MAX)))
    }

    pub(super) async fn send_later(&self, reply: &Reply, delay: Duration, socket: &Socket, shared: &Shared) {
        if !delay.is_zero() {
            let Ok(_permit) = shared.delayed.try_acquire() else {
                return shared.counters.overloaded.increment();
            };
            tokio::select! {
                () = shared.ends.cancelled() => return shared.counters.late.increment(),
                () = tokio::time::sleep(delay) => {}
            }
        }
        self.send(reply, socket, &shared.counters).await;
    }

    async fn send(&self, reply: &Reply, socket: &Socket, counters: &Counters) {
        let to: SocketAddrV6 = reply.destination;
        // From the address that was asked; to a client of the link by the interface that it is on.
        let address = if self.local.is_multicast() { Ipv6Addr::UNSPECIFIED } else { self.local };
        let ifindex = if to.ip().is_unicast_link_local() { self.ifindex } else { 0 };
        match socket.send(&reply.octets, to.into(), Some(Source { address: address.into(), ifindex })).await {
            Ok(()) if reply.message_type == MessageType::Advertise => counters.advertised.increment(),
            Ok(()) => counters.replied.increment(),
            Err(error) => {
                counters.unsent.increment();
                debug!(%to, %error, "DHCPv6 reply not sent");
            }
        }
    }
}

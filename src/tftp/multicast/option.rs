//! The value of the option `multicast` in an OACK: `address,port,master` (RFC 2090).
//!
//! **Invariant**: any octets give an [`Offer`] or nothing, never a panic.

use std::fmt;
use std::net::Ipv4Addr;

/// The option's name.
pub const NAME: &str = "multicast";

/// What an OACK says of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Group and port; none where they stay as they were said before.
    pub group: Option<(Ipv4Addr, u16)>,
    /// Whether the machine is the master, who acknowledges.
    pub is_master: bool,
}

impl Offer {
    /// Reads the value.
    pub fn parse(value: &[u8]) -> Option<Offer> {
        let text = str::from_utf8(value).ok()?;
        let mut fields = text.split(',').map(str::trim);
        let (address, port, master) = (fields.next()?, fields.next()?, fields.next()?);
        let is_master = match master {
            "0" => false,
            "1" => true,
            _ => return None,
        };
        let group = match (address, port) {
            ("", "") => None,
            (address, port) => {
                let address: Ipv4Addr = address.parse().ok()?;
                let port = port.parse().ok().filter(|port| *port != 0)?;
                Some((Some(address).filter(Ipv4Addr::is_multicast)?, port))
            }
        };
        fields.next().is_none().then_some(Offer { group, is_master })
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let master = u8::from(self.is_master);
        match self.group {
            Some((address, port)) => write!(f, "{address},{port},{master}"),
            None => write!(f, ",,{master}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_servers_say() {
        let offer = |text: &str| Offer::parse(text.as_bytes());
        let group = Some((Ipv4Addr::new(239, 255, 0, 1), 1758));
        assert_eq!(offer("239.255.0.1,1758,1"), Some(Offer { group, is_master: true }));
        assert_eq!(offer("239.255.0.1,1758,0"), Some(Offer { group, is_master: false }));
        assert_eq!(offer(",,1"), Some(Offer { group: None, is_master: true }));
        for wrong in
            ["", ",,", ",,2", "1,2", "10.0.0.1,1758,1", "239.255.0.1,0,1", "239.255.0.1,99999,1", ",1758,1", ",,1,"]
        {
            assert_eq!(offer(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_not(octets in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Offer::parse(&octets);
        }

        #[test]
        fn what_is_written_is_read(last in any::<[u8; 3]>(), port in 1_u16.., is_master: bool, again: bool) {
            let [a, b, c] = last;
            let group = (!again).then_some((Ipv4Addr::new(239, a, b, c), port));
            let offer = Offer { group, is_master };
            prop_assert_eq!(Offer::parse(offer.to_string().as_bytes()), Some(offer));
        }
    }
}

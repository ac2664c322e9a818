//! Small functions of the contract: networks and the log.

use std::net::IpAddr;

use ipnet::IpNet;
use rhai::{Array, Engine, EvalAltResult, ImmutableString};

use super::sandbox::{self, fail};
use crate::nearest::cut;

/// Registers the functions.
pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("in_network", |ip: ImmutableString, network: ImmutableString| in_network(&ip, &network));
    engine.register_fn("in_network", |ip: ImmutableString, networks: Array| -> Result<bool, Box<EvalAltResult>> {
        for network in networks {
            let Ok(network) = network.into_immutable_string() else {
                return fail("in_network: each network must be text");
            };
            if in_network(&ip, &network)? {
                return Ok(true);
            }
        }
        Ok(false)
    });
    engine.register_fn("log", |text: ImmutableString| sandbox::log(&text));
}

/// Whether an address lies in a network. The empty address lies in none.
fn in_network(ip: &str, network: &str) -> Result<bool, Box<EvalAltResult>> {
    let Ok(network) = network.parse::<IpNet>().or_else(|_| network.parse::<IpAddr>().map(IpNet::from)) else {
        return fail(format!("`{}` is no network; write it like \"10.1.0.0/16\"", cut(network)));
    };
    if ip.is_empty() {
        return Ok(false);
    }
    match ip.parse::<IpAddr>() {
        Ok(ip) => Ok(network.contains(&ip)),
        Err(_) => fail(format!("`{}` is no IP address; use a field such as request.subnet_address", cut(ip))),
    }
}

#[cfg(test)]
mod tests {
    use super::in_network;

    #[test]
    fn networks_of_both_families() {
        assert!(in_network("10.1.2.3", "10.1.0.0/16").unwrap());
        assert!(!in_network("10.2.2.3", "10.1.0.0/16").unwrap());
        assert!(in_network("fd00::1", "fd00::/8").unwrap());
        assert!(!in_network("fd00::1", "10.0.0.0/8").unwrap());
        assert!(in_network("10.1.2.3", "10.1.2.3").unwrap());
        assert!(!in_network("", "10.0.0.0/8").unwrap());
        assert!(in_network("10.1.2.3", "10.1.0.0/33").is_err());
        assert!(in_network("lab", "10.1.0.0/16").is_err());
    }
}

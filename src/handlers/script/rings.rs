//! Rings: machines in a hundred parts that stay as they are, for rollouts step by step.
//!
//! **Invariant**: the ring of a machine never changes, in no release: the test pins values.

use aws_lc_rs::digest::{Context, SHA256};
use rhai::{Engine, EvalAltResult, ImmutableString};

use super::request::Request;
use super::sandbox::fail;

/// Registers the functions.
pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("ring", |request: Request| ring(&request.ring_key(), ""));
    engine.register_fn("ring", |request: Request, salt: ImmutableString| ring(&request.ring_key(), &salt));
    engine.register_fn("in_ring", |request: Request, percent: i64| in_ring(&request, percent, ""));
    engine.register_fn("in_ring", |request: Request, percent: i64, salt: ImmutableString| {
        in_ring(&request, percent, &salt)
    });
}

fn in_ring(request: &Request, percent: i64, salt: &str) -> Result<bool, Box<EvalAltResult>> {
    if !(0..=100).contains(&percent) {
        return fail(format!("in_ring: {percent} is no percentage; write a number from 0 to 100"));
    }
    Ok(ring(&request.ring_key(), salt) < percent)
}

/// The ring of a machine, 0 to 99.
fn ring(machine: &str, salt: &str) -> i64 {
    let mut hash = Context::new(&SHA256);
    for part in ["pointsman ring", salt, machine] {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finish();
    let number = digest.as_ref().iter().take(8).fold(0u64, |number, octet| number << 8 | u64::from(*octet));
    (number % 100) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_stays_what_it_is() {
        let uuid = "4c4c4544-0057-5810-804a-c3c04f463732";
        assert_eq!([ring(uuid, ""), ring(uuid, "debian-13"), ring("52:54:00:12:34:56", "")], [32, 65, 69]);
    }

    #[test]
    fn machines_are_spread_evenly_and_salts_mix_them_anew() {
        let rings = |salt: &str| (0..10_000).map(|n| ring(&format!("machine {n}"), salt)).collect::<Vec<_>>();
        let (one, other) = (rings(""), rings("b"));
        for ring in 0..100 {
            let count = one.iter().filter(|r| **r == ring).count();
            assert!((50..150).contains(&count), "{ring}: {count}");
        }
        let same = one.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(same < 200, "{same}");
    }
}

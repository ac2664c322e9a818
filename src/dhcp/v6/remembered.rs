//! Which machine a DUID belongs to, for a few minutes: EDK2's question on 4011 comes from an address that a server gave
//! it and names the machine by a DUID alone, which may be a UUID.
//!
//! **Invariant**: bounded; time is an argument.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::boot::HardwareAddress;

/// Machines remembered.
const MACHINES_MAX: usize = 8_192;
/// For how long: firmware comes to 4011 within seconds.
const KEPT: Duration = Duration::from_secs(600);

/// DUIDs and their machines.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    by_duid: HashMap<Vec<u8>, (HardwareAddress, Instant)>,
}

impl Remembered {
    /// Notes who has this DUID. When all places are taken by machines of the last minutes, nobody is noted.
    pub(super) fn note(&mut self, duid: &[u8], hardware: HardwareAddress, now: Instant) {
        if self.by_duid.len() >= MACHINES_MAX && !self.by_duid.contains_key(duid) {
            self.by_duid.retain(|_, (_, at)| now.duration_since(*at) < KEPT);
            if self.by_duid.len() >= MACHINES_MAX {
                return;
            }
        }
        self.by_duid.insert(duid.to_vec(), (hardware, now));
    }

    /// Who has this DUID.
    pub(super) fn of(&self, duid: &[u8], now: Instant) -> Option<HardwareAddress> {
        let (hardware, at) = self.by_duid.get(duid)?;
        (now.duration_since(*at) < KEPT).then_some(*hardware)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_is_old_and_takes_no_more_than_its_places() {
        let (mut remembered, start) = (Remembered::default(), Instant::now());
        let machine = HardwareAddress::from([2, 0, 0, 0, 0, 1]);
        for number in 0..=MACHINES_MAX {
            remembered.note(&number.to_be_bytes(), machine, start);
        }
        assert_eq!(remembered.of(&0_usize.to_be_bytes(), start), Some(machine));
        assert_eq!(remembered.of(&MACHINES_MAX.to_be_bytes(), start), None, "one more than there are places");
        let later = start + KEPT;
        assert_eq!(remembered.of(&0_usize.to_be_bytes(), later), None);
        remembered.note(&MACHINES_MAX.to_be_bytes(), machine, later);
        assert_eq!(remembered.of(&MACHINES_MAX.to_be_bytes(), later), Some(machine));
        assert_eq!(remembered.by_duid.len(), 1);
    }
}

//! The lock on one delivery.

use std::{fmt, str::FromStr};

/// A GUID, as on the real bus. It is made of the copy's sequence number and of which of its deliveries this is: both only
/// grow, so no two deliveries ever have one token, and none has to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lock {
    pub(super) sequence: i64,
    pub(super) delivery: u32,
}

impl Lock {
    /// As a broker writes it into a delivery tag.
    pub fn as_u128(self) -> u128 {
        u128::from(self.sequence.cast_unsigned()) << 64 | u128::from(self.delivery)
    }

    /// None: a token that no lock of this broker has.
    pub fn from_u128(number: u128) -> Option<Self> {
        let sequence = i64::try_from(number >> 64).ok()?;
        let delivery = u32::try_from(number & u128::from(u64::MAX)).ok()?;
        Some(Self { sequence, delivery })
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.as_u128());
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl FromStr for Lock {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let hex: String = text.chars().filter(|c| *c != '-').collect();
        Self::from_u128(u128::from_str_radix(&hex, 16).map_err(drop)?).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_written_as_a_guid_and_read_again() {
        let lock = Lock { sequence: 0x1234_5678_9abc, delivery: 5 };
        assert_eq!(lock.to_string(), "00001234-5678-9abc-0000-000000000005");
        assert_eq!(lock.to_string().parse(), Ok(lock));
        assert!("".parse::<Lock>().is_err() && "ffffffff-ffff-ffff-ffff-ffffffffffff".parse::<Lock>().is_err());
    }
}

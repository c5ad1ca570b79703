//! Instants. Nanoseconds inside; on the wire RFC 3339, UTC, milliseconds, floored (SPEC 3.1).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, ops, str::FromStr, time::Duration};

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The instant a decision is about: of its event, its batch or its due document, never "now".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment(pub Timestamp);

impl Timestamp {
    pub const EPOCH: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX);

    pub const fn from_millis(ms: i64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }
    pub const fn from_nanos(ns: i64) -> Self {
        Self(ns)
    }
    /// Floored, also before the epoch.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
    pub const fn nanos(self) -> i64 {
        self.0
    }
    pub const fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(nanos_of(d)))
    }
    pub const fn minus(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(nanos_of(d)))
    }
    pub const fn plus_millis(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }
    /// Milliseconds from `earlier` to here; negative if that is later.
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).div_euclid(1_000_000)
    }
    /// The latest multiple of `step_ms` plus `offset_ms` that is not after this instant.
    pub const fn floor_to(self, step_ms: i64, offset_ms: i64) -> Self {
        let ms = self.millis();
        Self::from_millis(ms - (ms - offset_ms).rem_euclid(step_ms))
    }
    /// Without what the wire does not carry.
    pub const fn floor_millis(self) -> Self {
        Self::from_millis(self.millis())
    }
}

const fn nanos_of(d: Duration) -> i64 {
    let n = d.as_nanos();
    if n > i64::MAX as u128 { i64::MAX } else { n as i64 }
}

impl ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        self.plus(d)
    }
}
impl ops::Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        self.minus(d)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.millis()) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{}ms", self.millis()),
        }
    }
}

impl FromStr for Timestamp {
    type Err = String;
    /// RFC 3339 with the offset `Z`, and no other.
    fn from_str(s: &str) -> Result<Self, String> {
        let wrong = || format!("`{s}` is not an RFC 3339 instant in UTC such as 2026-11-21T10:00:00.000Z");
        if !s.ends_with('Z') || s.as_bytes().get(10) != Some(&b'T') {
            return Err(wrong());
        }
        let t: jiff::Timestamp = s.parse().map_err(|_| wrong())?;
        i64::try_from(t.as_nanosecond()).map(Self).map_err(|_| wrong())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_floors_to_milliseconds() {
        let t: Timestamp = "2026-11-21T10:00:00.123999Z".parse().unwrap();
        assert_eq!(t.to_string(), "2026-11-21T10:00:00.123Z");
        assert_eq!(Timestamp::from_millis(1_795_255_200_000).to_string(), "2026-11-21T10:00:00.000Z");
        assert!("2026-11-21T10:00:00+01:00".parse::<Timestamp>().is_err());
        assert!("2026-11-21 10:00:00Z".parse::<Timestamp>().is_err());
    }

    #[test]
    fn floor_to_keeps_the_offset() {
        let t: Timestamp = "2026-11-21T10:00:29.000Z".parse().unwrap();
        assert_eq!(t.floor_to(60_000, 30_000).to_string(), "2026-11-21T09:59:30.000Z");
    }
}

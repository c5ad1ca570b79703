//! When a token that was put is to be put anew.

use opsloop_kernel::Timestamp;
use std::time::Duration;

/// Before it runs out. The service ends the links of an entity whose token has.
const MARGIN: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    renew_at: Timestamp,
}

impl Token {
    /// Renewed five minutes before its end; a short-lived one at half of its life.
    pub fn new(put_at: Timestamp, expires_at: Timestamp) -> Self {
        let half = Duration::from_millis(expires_at.millis_since(put_at).max(0).unsigned_abs() / 2);
        Self { renew_at: expires_at.minus(MARGIN.min(half)) }
    }

    pub fn is_good(self, now: Timestamp) -> bool {
        now < self.renew_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_well_before_its_end() {
        let put = Timestamp::from_millis(1_795_255_200_000);
        let minutes = |n: u64| put.plus(Duration::from_secs(60 * n));
        let hour = Token::new(put, minutes(60));
        assert!(hour.is_good(minutes(54)) && !hour.is_good(minutes(55)));
        let short = Token::new(put, minutes(2));
        assert!(short.is_good(put) && !short.is_good(minutes(1)));
        assert!(!Token::new(put, put.minus(MARGIN)).is_good(put), "one that has run out is never good");
    }
}

//! NCRONTAB: six fields, seconds first, UTC.

use std::sync::Arc;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

/// A schedule with occurrences closer than this is not monitored.
const MONITORED_GAP_MIN: SignedDuration = SignedDuration::from_secs(60);
/// How many occurrences are looked at to find the closest two; a schedule that clusters later is not ours.
const GAP_SAMPLE: usize = 10;

#[derive(Debug, Clone)]
pub struct Schedule {
    cron: Arc<Cron>,
}

impl Schedule {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.split_whitespace().count() != 6 {
            return Err(format!("'{text}' is not a schedule of six fields (TimeSpan schedules are not for Flex)"));
        }
        // NCRONTAB wants both the day of the month and the day of the week to match.
        let parser = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
        let cron = parser.parse(text).map_err(|why| format!("'{text}' is not a schedule: {why}"))?;
        Ok(Self { cron: Arc::new(cron) })
    }

    /// The first occurrence later than `at`.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        // To whole seconds first: an instant inside a second lies behind the occurrence at its start.
        let whole = Offset::UTC.to_datetime(at).with().subsec_nanosecond(0).build().ok()?;
        let next = self.cron.find_next_occurrence(&whole, false).ok()?;
        Offset::UTC.to_timestamp(next).ok()
    }

    pub fn is_monitorable(&self, from: Timestamp) -> bool {
        let mut at = from;
        for index in 0..GAP_SAMPLE {
            let Some(next) = self.next_after(at) else { return true };
            if index > 0 && next.duration_since(at) < MONITORED_GAP_MIN {
                return false;
            }
            at = next;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    #[test]
    fn occurrences_are_later_than_the_instant_given() {
        let minutely = Schedule::parse("6 * * * * *").unwrap();
        let next = |at: &str| minutely.next_after(at.parse().unwrap()).unwrap().to_string();
        assert_eq!(next("2026-11-21T08:16:06Z"), "2026-11-21T08:17:06Z");
        assert_eq!(next("2026-11-21T08:16:06.001Z"), "2026-11-21T08:17:06Z");
        assert_eq!(next("2026-11-21T08:16:05.999Z"), "2026-11-21T08:16:06Z");
    }

    #[test]
    fn more_than_once_a_minute_is_not_monitored() {
        let from = "2026-11-21T08:16:06Z".parse().unwrap();
        assert!(!Schedule::parse("*/30 * * * * *").unwrap().is_monitorable(from));
        assert!(Schedule::parse("30 * * * * *").unwrap().is_monitorable(from));
        assert!(Schedule::parse("0 0 0 1 1 *").unwrap().is_monitorable(from));
        assert!(Schedule::parse("0 * * * *").is_err());
    }
}

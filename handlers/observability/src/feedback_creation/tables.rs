//! Category, severity and sentiment of an item (SPEC 5.7.3(5) and (6)): tables, nothing else.

use crate::events::{FeedbackCategory, RootCauseCategory, Sentiment, SentimentLabel, Severity, SignalKind};
use regex::Regex;
use std::sync::LazyLock;

/// Error types of the availability classes: timeout, unavailable, connection, throttled, dependency 5xx.
static AVAILABILITY: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)timeout|timed[ _]?out|deadline|unavailable|connect|econn|socket|throttl|too.?many.?requests|\b429\b|\b5\d\d\b",
    )
    .ok()
});
/// A score beyond this, either way, has a label.
const NEUTRAL: f64 = 0.1;

pub fn category_of_cause(cause: RootCauseCategory) -> FeedbackCategory {
    use RootCauseCategory as Cause;
    match cause {
        Cause::CodeDefect | Cause::Data => FeedbackCategory::Correctness,
        Cause::Configuration => FeedbackCategory::Maintainability,
        Cause::Capacity => FeedbackCategory::Performance,
        Cause::Cost => FeedbackCategory::Cost,
        Cause::Dependency | Cause::Deployment | Cause::Security | Cause::Unknown | Cause::SelfRecovered => {
            FeedbackCategory::Reliability
        }
    }
}

/// An error whose type says that something was not to be had is one of reliability; any other, also one without a
/// type, is a defect of the module itself.
pub fn category_of_signal(kind: SignalKind, error_type: Option<&str>) -> FeedbackCategory {
    match kind {
        SignalKind::ErrorTrace if is_availability(error_type.unwrap_or_default()) => FeedbackCategory::Reliability,
        SignalKind::ErrorTrace => FeedbackCategory::Correctness,
        SignalKind::LatencyOutlier => FeedbackCategory::Performance,
        SignalKind::RetryStorm => FeedbackCategory::Reliability,
    }
}

fn is_availability(error_type: &str) -> bool {
    AVAILABILITY.as_ref().is_some_and(|r| r.is_match(error_type))
}

pub fn severity_of_signal(kind: SignalKind) -> Severity {
    match kind {
        SignalKind::ErrorTrace => Severity::High,
        SignalKind::LatencyOutlier | SignalKind::RetryStorm => Severity::Warning,
    }
}

pub fn sentiment_of_signal(kind: SignalKind) -> Sentiment {
    labelled(match kind {
        SignalKind::ErrorTrace => -0.5,
        SignalKind::RetryStorm => -0.4,
        SignalKind::LatencyOutlier => -0.3,
    })
}

/// One opened on stale data counts half (SPEC 5.7.6).
pub fn sentiment_of_incident(severity: Severity, opened_on_stale: bool) -> Sentiment {
    let whole = blame(severity);
    labelled(if opened_on_stale { whole / 2.0 } else { whole })
}

pub fn sentiment_of_spike(severity: Severity) -> Sentiment {
    labelled(blame(severity))
}

pub fn sentiment_of_drop() -> Sentiment {
    labelled(0.3)
}

fn blame(severity: Severity) -> f64 {
    match severity {
        Severity::Critical => -1.0,
        Severity::High => -0.7,
        Severity::Warning => -0.4,
        // Incidents and spikes have no such severity; what none of the table names is neutral.
        Severity::Info => 0.0,
    }
}

pub fn labelled(score: f64) -> Sentiment {
    let label = if score < -NEUTRAL {
        SentimentLabel::Negative
    } else if score > NEUTRAL {
        SentimentLabel::Positive
    } else {
        SentimentLabel::Neutral
    };
    Sentiment { label, score }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_to_be_had_is_reliability_and_the_rest_correctness() {
        for of_others in [
            "TimeoutError",
            "timed out",
            "DEADLINE_EXCEEDED",
            "ServiceUnavailable",
            "ECONNRESET",
            "socket hang up",
            "Throttling",
            "TooManyRequests",
            "too many requests",
            "429",
            "503",
            "HTTP 502",
        ] {
            let got = category_of_signal(SignalKind::ErrorTrace, Some(of_others));
            assert_eq!(got, FeedbackCategory::Reliability, "{of_others}");
        }
        for own in ["NullPointerException", "AssertionError", "E5030", "4290", ""] {
            let got = category_of_signal(SignalKind::ErrorTrace, Some(own));
            assert_eq!(got, FeedbackCategory::Correctness, "{own}");
        }
        assert_eq!(category_of_signal(SignalKind::ErrorTrace, None), FeedbackCategory::Correctness);
    }

    #[test]
    fn a_score_of_a_tenth_is_still_neutral() {
        assert_eq!(labelled(-0.1).label, SentimentLabel::Neutral);
        assert_eq!(labelled(-0.11).label, SentimentLabel::Negative);
        assert_eq!(labelled(0.1).label, SentimentLabel::Neutral);
        assert_eq!(labelled(0.3).label, SentimentLabel::Positive);
    }

    #[test]
    fn an_incident_opened_on_stale_data_counts_half() {
        assert_eq!(sentiment_of_incident(Severity::High, false).score, -0.7);
        assert_eq!(sentiment_of_incident(Severity::High, true).score, -0.35);
    }
}

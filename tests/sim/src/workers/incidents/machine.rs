//! The table of SPEC 5.5.3 once more, written by hand: the production code is held to it.

/// Whether an incident may go from one state to the other; the empty one is not being there yet.
pub fn leads(from: &str, to: &str) -> bool {
    matches!(
        (from, to),
        ("", "Open")
            | ("Open", "Acknowledged" | "Escalated" | "Resolved")
            | ("Acknowledged", "Investigating")
            | ("Investigating", "Mitigated" | "Escalated" | "Resolved")
            | ("Escalated", "Investigating")
            | ("Mitigated", "Resolved")
    )
}

/// From the least to the most severe.
pub fn rank(severity: &str) -> Option<usize> {
    ["info", "warning", "high", "critical"].iter().position(|s| *s == severity)
}

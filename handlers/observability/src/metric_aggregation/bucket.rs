//! The root of a bucket's stream: how far aggregation has come, and the definitions other than the default one
//! (SPEC 5.2.2, 5.2.4). Every closing saves it by version, so that no two pass each other (A65).

use super::{names, types::SIZES};
use opsloop_kernel::{
    Document, Moment, Refusal, Stored, Timestamp, Write,
    window::{FIVE_MINUTES_MS, HOUR_MS, MINUTE_MS, allowed_lateness},
};
use serde::{Deserialize, Serialize};

/// Whose due documents these are: the worker's name.
pub const DUE: &str = "MetricAggregationWorker";
/// The labels of the default definition's groups, in byte order.
pub const DEFAULT_GROUP_BY: [&str; 3] = ["environment", "moduleId", "projectId"];
/// The root is read and saved by every closing: it stays small.
pub const DEFINITIONS_MAX: usize = 500;
/// The root is due each minute at this second.
const DUE_OFFSET_MS: i64 = 30_000;

/// The end of the newest window of each size that is closed, with all before it (A21).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermarks {
    #[serde(rename = "60000", skip_serializing_if = "Option::is_none", default)]
    pub minute: Option<Timestamp>,
    #[serde(rename = "300000", skip_serializing_if = "Option::is_none", default)]
    pub five_minutes: Option<Timestamp>,
    #[serde(rename = "3600000", skip_serializing_if = "Option::is_none", default)]
    pub hour: Option<Timestamp>,
}

impl Watermarks {
    /// `None`: no window of that size is known to be closed.
    pub fn of(&self, size_ms: i64) -> Option<Timestamp> {
        match size_ms {
            MINUTE_MS => self.minute,
            FIVE_MINUTES_MS => self.five_minutes,
            HOUR_MS => self.hour,
            _ => None,
        }
    }
    /// The ends of the newest windows that are closed by an instant.
    pub fn closed_by(at: Timestamp) -> Self {
        let [minute, five_minutes, hour] = SIZES.map(|size| Some(newest_end(size, at)));
        Self { minute, five_minutes, hour }
    }
    /// Of several buckets the smallest counts (SPEC 3.11).
    pub fn smaller(self, other: Self) -> Self {
        Self {
            minute: self.minute.min(other.minute),
            five_minutes: self.five_minutes.min(other.five_minutes),
            hour: self.hour.min(other.hour),
        }
    }
}

/// The end of the newest window of a size with `end + allowedLateness ≤ at`.
pub fn newest_end(size_ms: i64, at: Timestamp) -> Timestamp {
    at.minus(allowed_lateness(size_ms)).floor_to(size_ms, 0)
}

/// A series definition other than the default: the metric's series once more, by these labels, of every kind, window
/// size and aggregation of SPEC 5.2.2.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeriesDefinition {
    pub metric_name: String,
    /// In byte order, each once.
    pub group_by: Vec<String>,
    /// No window that begins earlier has its points (A28).
    pub from: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    #[serde(default)]
    pub watermarks: Watermarks,
    #[serde(default)]
    pub definitions: Vec<SeriesDefinition>,
}

impl Bucket {
    /// The definition of exactly these labels.
    pub fn definition(&self, metric: &str, group_by: &[String]) -> Option<&SeriesDefinition> {
        self.definitions.iter().find(|d| d.metric_name == metric && d.group_by == group_by)
    }
    /// Those that a window has points of.
    pub fn definitions_of(&self, metric: &str, window_start: Timestamp) -> impl Iterator<Item = &SeriesDefinition> {
        self.definitions.iter().filter(move |d| d.metric_name == metric && d.from <= window_start)
    }
    pub fn document(&self, due: Timestamp) -> Document {
        Document::new(names::BUCKET, "bucket", self).due(DUE, due)
    }
}

/// The first second 30 of a minute after an instant.
pub fn next_due(at: Timestamp) -> Timestamp {
    at.floor_to(MINUTE_MS, DUE_OFFSET_MS).plus_millis(MINUTE_MS)
}

/// When the root wants to be looked at: kept by writes that do not move the watermarks.
pub fn due_of(stored: &Stored) -> Option<Timestamp> {
    stored.document.due.as_ref().map(|d| d.at)
}

/// A bucket as it is before its first closing.
pub fn created(at: Timestamp) -> Write {
    Write::Save(Bucket::default().document(next_due(at)), None)
}

/// What saving a rule or SLO at `at` writes to the root of a bucket so that these definitions (metric, labels) exist
/// from the next window on; `None` if they do (A28). The write's unit lies in the bucket's own stream, and the root is
/// the document it saves by version.
pub fn with_definitions(
    stored: Option<&Stored>,
    wanted: &[(String, Vec<String>)],
    at: Moment,
) -> Result<Option<Write>, Refusal> {
    let mut bucket: Bucket = stored.map(Stored::read).transpose()?.unwrap_or_default();
    let from = first_window(&bucket, at.0);
    let before = bucket.definitions.len();
    for (metric, labels) in wanted {
        let group_by = sorted(labels);
        if bucket.definition(metric, &group_by).is_none() {
            bucket.definitions.push(SeriesDefinition { metric_name: metric.clone(), group_by, from });
        }
    }
    if stored.is_some() && bucket.definitions.len() == before {
        return Ok(None);
    }
    if bucket.definitions.len() > DEFINITIONS_MAX {
        let (size, limit) = (bucket.definitions.len(), DEFINITIONS_MAX);
        return Err(Refusal::TooLarge { what: "the number of series definitions of a bucket", size, limit });
    }
    bucket.definitions.sort();
    let due = stored.and_then(due_of).unwrap_or_else(|| next_due(at.0));
    Ok(Some(Write::Save(bucket.document(due), stored.map(|s| s.etag.clone()))))
}

/// The next window; a command that waited in a queue gets none that may be closed already.
fn first_window(bucket: &Bucket, at: Timestamp) -> Timestamp {
    let next = at.floor_to(MINUTE_MS, 0).plus_millis(MINUTE_MS);
    bucket.watermarks.minute.map_or(next, |closed| next.max(closed.plus_millis(2 * MINUTE_MS)))
}

pub fn sorted(labels: &[String]) -> Vec<String> {
    let mut labels = labels.to_vec();
    labels.sort();
    labels.dedup();
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use opsloop_kernel::ETag;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }
    fn stored(write: &Write) -> Stored {
        Stored { document: write.document().unwrap().clone(), etag: ETag("7".into()) }
    }

    #[test]
    fn a_window_is_closed_a_tick_after_its_last_child() {
        let marks = Watermarks::closed_by(at("10:05:30"));
        assert_eq!(marks.minute, Some(at("10:05:00")));
        assert_eq!(marks.five_minutes, Some(at("10:00:00")));
        assert_eq!(Watermarks::closed_by(at("10:06:30")).five_minutes, Some(at("10:05:00")));
        assert_eq!(marks.hour, Some(at("10:00:00")));
        assert_eq!(Watermarks::closed_by(at("10:02:29.999")).hour, Some(at("09:00:00")));
    }

    #[test]
    fn a28_a_definition_begins_with_the_next_window_and_is_added_once() {
        let wanted = [("http.requests".to_owned(), vec!["status".to_owned(), "moduleId".to_owned()])];
        let write = with_definitions(None, &wanted, Moment(at("10:00:10"))).unwrap().unwrap();
        let first = stored(&write);
        let bucket: Bucket = first.read().unwrap();
        assert_eq!(bucket.definitions[0].group_by, ["moduleId", "status"]);
        assert_eq!(bucket.definitions[0].from, at("10:01:00"));
        assert_eq!(due_of(&first), Some(at("10:00:30")));
        assert_eq!(bucket.definitions_of("http.requests", at("10:00:00")).count(), 0);
        assert_eq!(bucket.definitions_of("http.requests", at("10:01:00")).count(), 1);
        assert_eq!(with_definitions(Some(&first), &wanted, Moment(at("11:00:10"))).unwrap(), None);
        let more = [("http.requests".to_owned(), vec!["region".to_owned()])];
        let second = with_definitions(Some(&first), &more, Moment(at("11:00:10"))).unwrap().unwrap();
        assert!(matches!(&second, Write::Save(_, Some(etag)) if etag.0 == "7"));
        assert_eq!(due_of(&stored(&second)), Some(at("10:00:30")));
    }

    #[test]
    fn a_command_that_waited_gets_no_window_that_is_closed() {
        let closed = Bucket { watermarks: Watermarks::closed_by(at("11:00:30")), ..Bucket::default() };
        let root = Stored { document: closed.document(at("11:01:30")), etag: ETag("1".into()) };
        let wanted = [("m".to_owned(), vec!["a".to_owned()])];
        let write = with_definitions(Some(&root), &wanted, Moment(at("10:00:10"))).unwrap().unwrap();
        let bucket: Bucket = stored(&write).read().unwrap();
        assert_eq!(bucket.definitions[0].from, at("11:02:00"));
    }
}

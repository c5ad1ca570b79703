//! What was announced of a window, by metric: committed together with the outbox, it alone says what is unchanged (A1).

use super::{names, points::GroupPoint};
use opsloop_kernel::{Document, Refusal, Stored, Window, json::sha256_hex};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Write as _};

/// Metrics in one document: some 200 bytes each keep it below 256 KiB.
const METRICS_PER_PART: usize = 1_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    #[default]
    Done,
    /// Its mark was removed by an operator (SPEC 14.4).
    Skipped,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    pub revision: u32,
    pub hash: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    pub status: Status,
    /// Hash of the states that the window handed on; of a 1m window only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub carry: Option<String>,
    pub metrics: BTreeMap<String, Announced>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    part: usize,
    parts: usize,
    #[serde(flatten)]
    ledger: Ledger,
}

impl Ledger {
    /// Of no document: a window that was never closed.
    pub fn read(stored: &[Stored]) -> Result<Self, Refusal> {
        let mut parts = stored.iter().map(Stored::read::<Part>).collect::<Result<Vec<_>, _>>()?;
        parts.sort_by_key(|p| p.part);
        let count = parts.first().map_or(0, |p| p.parts);
        let mut whole = parts.into_iter().take(count).map(|p| p.ledger);
        let mut ledger = whole.next().unwrap_or_default();
        whole.for_each(|more| ledger.metrics.extend(more.metrics));
        Ok(ledger)
    }

    pub fn documents(&self, window: Window) -> Vec<Document> {
        let entries: Vec<_> = self.metrics.iter().collect();
        let mut chunks: Vec<&[_]> = entries.chunks(METRICS_PER_PART).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let parts = chunks.len();
        let document = |(part, metrics): (usize, &[(&String, &Announced)])| {
            let metrics = metrics.iter().map(|(k, v)| ((*k).clone(), (*v).clone())).collect();
            let ledger = Self { status: self.status, carry: self.carry.clone(), metrics };
            Document::new(names::part_id(&names::ledger_id(window), part), "ledger", &Part { part, parts, ledger })
        };
        chunks.into_iter().enumerate().map(document).collect()
    }

    pub fn revision(&self, metric: &str) -> u32 {
        self.metrics.get(metric).map_or(0, |a| a.revision)
    }
}

/// The hash of a metric's points in a window; of none the empty text.
pub fn hash(groups: &[GroupPoint]) -> String {
    let mut text = String::new();
    for group in groups.iter().filter(|g| !g.gone) {
        let GroupPoint { id, unit, point, .. } = group;
        let by = id.group_by.as_deref().unwrap_or_default().join(",");
        let (key, content) = (id.group_key.canonical(), &point.content_hash);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:?}\u{1f}{by}\u{1f}{}\u{1f}{key}\u{1f}{unit}\u{1f}{content}",
            id.group_by.is_some(),
            id.kind.name()
        );
    }
    if text.is_empty() { text } else { sha256_hex(text.as_bytes()) }
}

//! What the decisions look at: the root first, watermarks before points (SPEC 3.13).

use super::{
    cells::{Frame, Hours},
    commands::{SLOS_MAX, SloView},
    documents::{self, StoredSlo},
    slo::{Sli, SloDefinition},
    slot::{SlotView, Stage},
};
use crate::series::{
    Held, Read, Selected, Want,
    source::{self, Range},
};
use opsloop_kernel::{Scope, Stop, Timestamp, window::HOUR_MS};

pub async fn slot(scope: &Scope<'_>, id: &str, at: Timestamp, tick: Timestamp, buckets: u16) -> Result<SlotView, Stop> {
    let stream = documents::stream();
    let root = Held::of(scope.get(&stream, &documents::root_id(id)).await?)?;
    let slo: Option<Held<StoredSlo>> = Held::of(scope.get(&stream, &documents::slo_id(id)).await?)?;
    let mut view = SlotView { root, slo, ..SlotView::default() };
    let Some(stored) = view.slo.as_ref().map(|h| h.body.clone()) else { return Ok(view) };
    if view.stage(at, tick) == Stage::NotDue {
        return Ok(view);
    }
    view.hours = Held::of(scope.get(&stream, &documents::hours_id(id)).await?)?;
    if matches!(view.stage(at, tick), Stage::Closes | Stage::Changed | Stage::Skips(_)) {
        return Ok(view);
    }
    view.buckets = source::buckets(scope, &sizes(&stored.slo.sli), buckets).await?;
    let Stage::Reads(reading, _) = view.stage(at, tick) else { return Ok(view) };
    let (frame, hours) = (Frame::of(&stored.slo, &reading), view.kept_hours());
    let reader = Reader { scope, slo: &stored.slo, frame: &frame, hours: &hours, from: view.buckets.from, buckets };
    view.small = reader.small().await?;
    view.large = reader.large().await?;
    Ok(view)
}

/// The sizes whose watermarks a slot waits for: of a ratio also the hour, of a condition also the windows it is
/// asked for.
fn sizes(sli: &Sli) -> Vec<Read> {
    let reads = sli.reads();
    let more = if matches!(sli, Sli::WindowRatio { .. }) { sli.step_ms() } else { HOUR_MS };
    let also = reads.iter().map(|r| Read { size_ms: more, ..r.clone() });
    reads.iter().cloned().chain(also).collect()
}

struct Reader<'a> {
    scope: &'a Scope<'a>,
    slo: &'a SloDefinition,
    frame: &'a Frame,
    hours: &'a Hours,
    from: Timestamp,
    buckets: u16,
}

impl Reader<'_> {
    async fn small(&self) -> Result<Vec<Selected>, Stop> {
        let ranges = self.frame.small(&self.slo.sli, self.hours);
        let mut out = vec![];
        for (selector_reads, size_ms) in groups(self.slo.sli.reads()) {
            // A condition may look further back than the window it is asked for.
            let back = selector_reads.iter().map(|r| r.span_ms + r.offset_ms).max().unwrap_or(0) - size_ms;
            let wider = |r: &Range| Range { from: r.from.plus_millis(-back), until: r.until };
            let ranges = source::joined(ranges.iter().map(wider).collect(), self.from);
            out.extend(self.select(&selector_reads, size_ms, &ranges).await?);
        }
        Ok(out)
    }

    async fn large(&self) -> Result<Vec<Selected>, Stop> {
        if matches!(self.slo.sli, Sli::WindowRatio { .. }) {
            return Ok(vec![]);
        }
        let ranges = source::joined(vec![self.frame.large(self.hours)], self.from);
        let mut out = vec![];
        for (reads, _) in groups(self.slo.sli.reads()) {
            out.extend(self.select(&reads, HOUR_MS, &ranges).await?);
        }
        Ok(out)
    }

    async fn select(&self, reads: &[Read], size_ms: i64, ranges: &[Range]) -> Result<Vec<Selected>, Stop> {
        let Some(first) = reads.first() else { return Ok(vec![]) };
        let wants: Vec<Want> = reads.iter().map(|r| r.want).collect();
        source::select(self.scope, self.buckets, &first.selector, size_ms, ranges, &wants).await
    }
}

/// Neighbours of one selector and size are read once.
fn groups(reads: Vec<Read>) -> Vec<(Vec<Read>, i64)> {
    let mut out: Vec<(Vec<Read>, i64)> = vec![];
    for read in reads {
        match out.last_mut() {
            Some((same, size)) if same[0].selector == read.selector && *size == read.size_ms => same.push(read),
            _ => out.push((vec![read.clone()], read.size_ms)),
        }
    }
    out
}

pub async fn slo(scope: &Scope<'_>, id: &str) -> Result<SloView, Stop> {
    let stream = documents::stream();
    let root = Held::of(scope.get(&stream, &documents::root_id(id)).await?)?;
    let slo = Held::of(scope.get(&stream, &documents::slo_id(id)).await?)?;
    let full = slo.is_none() && scope.all(&stream, documents::SLOS, SLOS_MAX).await?.items.len() >= SLOS_MAX;
    Ok(SloView { slo, root, full })
}

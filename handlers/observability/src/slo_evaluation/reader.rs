//! What other workers read of SLOs (SPEC 5.8.3).

use super::{
    commands::SLOS_MAX,
    documents::{self, SloStatus, StoredSlo},
    slo::SloDefinition,
};
use opsloop_kernel::{Order, Page, Scope, Stop, Timestamp};
use serde::{Deserialize, Serialize};

/// An SLO's status at an instant, as far as it was known then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastFresh {
    /// The last status that rests on fresh data.
    pub status: SloStatus,
    /// Whether a later one, on stale data, stands between it and the instant.
    pub stale: bool,
}

/// The SLOs of a project, by id; without a project all. Deleted ones are gone.
pub async fn list_slos(scope: &Scope<'_>, project: Option<&str>) -> Result<Vec<SloDefinition>, Stop> {
    let listed = scope.all(&documents::stream(), documents::SLOS, SLOS_MAX).await?;
    let mut out = vec![];
    for stored in &listed.items {
        let slo: StoredSlo = stored.read()?;
        let wanted = project.is_none() || slo.slo.project_id.as_deref() == project;
        out.extend((wanted && !slo.deleted).then_some(slo.slo));
    }
    Ok(out)
}

/// The newest status at or before an instant. `None`: never evaluated, or longer ago than statuses are kept.
pub async fn status_at(scope: &Scope<'_>, slo_id: &str, at: Timestamp) -> Result<Option<SloStatus>, Stop> {
    let until = documents::status_id(slo_id, at.plus_millis(1)).0;
    let (stream, prefix) = (documents::stream(), documents::status_prefix(slo_id));
    let newest = scope.list(&stream, &prefix, &until, Page::first(1), Order::Descending).await?;
    Ok(newest.items.first().map(|s| s.read()).transpose()?)
}

/// The last fresh status at or before an instant.
pub async fn last_fresh_status(scope: &Scope<'_>, slo_id: &str, at: Timestamp) -> Result<Option<LastFresh>, Stop> {
    let Some(newest) = status_at(scope, slo_id, at).await? else { return Ok(None) };
    if !newest.freshness.stale {
        return Ok(Some(LastFresh { status: newest, stale: false }));
    }
    let Some(fresh) = newest.last_fresh_at else { return Ok(None) };
    let stored = scope.get(&documents::stream(), &documents::status_id(slo_id, fresh)).await?;
    Ok(stored.map(|s| s.read()).transpose()?.map(|status| LastFresh { status, stale: true }))
}

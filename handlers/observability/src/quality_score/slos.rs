//! What SLOs say at an instant (SPEC 5.8.3).

use super::decide::Slo;
use opsloop_kernel::{Scope, Stop, Timestamp};

pub async fn at(_project: &str, _at: Timestamp, _scope: &Scope<'_>) -> Result<Vec<Slo>, Stop> {
    Ok(vec![])
}

//! Whose request it is (SPEC 14.1). Tokens and ingest keys are a later issue; until then only local mode admits
//! anybody, on loopback.

use http::HeaderMap;
use opsloop_kernel::{TenantId, http::Problem};

/// Selects another tenant than `local`, in local mode only: for trying out two tenants on one machine.
pub const TENANT_HEADER: &str = "x-opsloop-tenant";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub tenant: TenantId,
    /// The project of telemetry and commands that name none.
    pub project: Option<String>,
    /// Who acts, where that is authenticated: then no body says otherwise.
    pub subject: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Loopback listeners; a request without credentials belongs to tenant `local`.
    Local,
    /// Nobody is admitted: there is no authority yet that could say who is.
    Closed,
}

impl Access {
    pub fn caller(self, headers: &HeaderMap) -> Result<Caller, Problem> {
        match self {
            Self::Closed => Err(Problem::new(401, "unauthenticated", "this deployment admits no callers yet")),
            Self::Local => {
                let named = headers.get(TENANT_HEADER).map(|v| v.to_str().unwrap_or_default());
                let tenant = TenantId::parse(named.unwrap_or("local")).map_err(Problem::invalid)?;
                if tenant.is_platform() {
                    return Err(Problem::new(403, "tenant_violation", "the tenant `platform` is reserved"));
                }
                Ok(Caller { tenant, project: Some("local".into()), subject: None })
            }
        }
    }
}

//! The newest deployment of each module, kept to be suspected (SPEC 5.5.4(5)). The later of two wins whatever arrives
//! first: by completion, then by id.

use super::incident::{LastDeployment, Loaded, doc};
use super::input::Deployed;
use opsloop_kernel::{Decision, Document, Write};

pub(super) fn decide(d: &Deployed, environment: &str, module: &str, kept: Option<&Loaded<LastDeployment>>) -> Decision {
    let newest = LastDeployment {
        completed_at: d.completed_at,
        deployment_id: d.deployment_id.clone(),
        artifact_id: d.artifacts.get(module).cloned(),
    };
    if kept.is_some_and(|k| k.body >= newest) {
        return Decision::because("older-deployment");
    }
    let document = Document::new(doc::deployed(environment, module), "deployed", &newest);
    Decision::because("newest-deployment").write(Write::Save(document, kept.map(|k| k.etag.clone())))
}

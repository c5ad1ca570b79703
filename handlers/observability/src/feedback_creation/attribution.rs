//! Who caused it (SPEC 5.7.3(4)): first success wins, from what a person said down to nothing.

use crate::events::{Attribution, AttributionMethod, Contributor, TraceArtifact};
use serde::{Deserialize, Serialize};

/// An error that begins in an artifact says more than one that passes through it.
const ORIGIN_WEIGHT: f64 = 3.0;
const DEPLOYMENT_CONFIDENCE: f64 = 0.5;
const MODULE_CONFIDENCE: f64 = 0.25;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    pub artifact_id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skill_id: Option<String>,
}

/// The correlation view of the item's trace. Nothing writes one yet (SPEC 5.10 is a later issue): it is a value of the
/// view all the same, so that waiting for it is decided like everything else.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Correlated {
    #[default]
    NotThere,
    There {
        artifacts: Vec<TraceArtifact>,
    },
}

/// The newest deployment of the item's module and environment: as much as is read of the document
/// `deployed|<environment>|<moduleId>` of the stream `incidents` (SPEC 5.5.4(5)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployed {
    pub deployment_id: String,
    /// Of the module's service in that deployment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub artifact_id: Option<String>,
}

/// What is known of the cause.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// By the root cause, or by whoever gave the feedback.
    pub named: Option<&'a Artifact>,
    pub correlated: Option<&'a [TraceArtifact]>,
    pub suspected_deployment: Option<&'a str>,
    pub deployed: Option<&'a Deployed>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attributed {
    pub artifact: Option<Artifact>,
    pub attribution: Attribution,
}

pub fn attribute(known: Known<'_>) -> Attributed {
    if let Some(named) = known.named {
        return wholly(named.clone(), AttributionMethod::RootCause, 1.0);
    }
    if let Some(found) = known.correlated.and_then(by_trace) {
        return found;
    }
    let Some(Deployed { deployment_id, artifact_id: Some(id) }) = known.deployed else {
        return unattributed();
    };
    let artifact = Artifact { artifact_id: id.clone(), ..Artifact::default() };
    if known.suspected_deployment == Some(deployment_id.as_str()) {
        return wholly(artifact, AttributionMethod::Deployment, DEPLOYMENT_CONFIDENCE);
    }
    wholly(artifact, AttributionMethod::Module, MODULE_CONFIDENCE)
}

/// The largest score wins, of equals the smaller artifact id; each has its share of the whole.
fn by_trace(artifacts: &[TraceArtifact]) -> Option<Attributed> {
    let score =
        |a: &TraceArtifact| ORIGIN_WEIGHT * f64::from(a.error_origins) + f64::from(a.error_spans) + a.self_time_share;
    let mut ranked: Vec<(f64, &TraceArtifact)> = artifacts.iter().map(|a| (score(a), a)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.artifact_id.cmp(&b.1.artifact_id)));
    let sum: f64 = ranked.iter().map(|(s, _)| s).sum();
    let (best, winner) = ranked.first()?;
    if sum <= 0.0 {
        return None;
    }
    let contributors = ranked.iter().map(|(score, a)| Contributor {
        artifact_id: a.artifact_id.clone(),
        agent_id: a.agent_id.clone(),
        skill_id: a.skill_id.clone(),
        share: score / sum,
    });
    Some(Attributed {
        artifact: Some(Artifact {
            artifact_id: winner.artifact_id.clone(),
            agent_id: winner.agent_id.clone(),
            skill_id: winner.skill_id.clone(),
        }),
        attribution: Attribution {
            method: AttributionMethod::Trace,
            confidence: best / sum,
            contributors: contributors.collect(),
        },
    })
}

fn wholly(artifact: Artifact, method: AttributionMethod, confidence: f64) -> Attributed {
    let contributor = Contributor {
        artifact_id: artifact.artifact_id.clone(),
        agent_id: artifact.agent_id.clone(),
        skill_id: artifact.skill_id.clone(),
        share: 1.0,
    };
    let attribution = Attribution { method, confidence, contributors: vec![contributor] };
    Attributed { artifact: Some(artifact), attribution }
}

fn unattributed() -> Attributed {
    let attribution = Attribution { method: AttributionMethod::None, confidence: 0.0, contributors: vec![] };
    Attributed { artifact: None, attribution }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(id: &str, error_origins: u32, error_spans: u32, self_time_share: f64) -> TraceArtifact {
        TraceArtifact {
            artifact_id: id.into(),
            agent_id: None,
            skill_id: None,
            error_origins,
            error_spans,
            self_time_share,
        }
    }

    #[test]
    fn fcw_02_the_artifact_where_errors_begin_wins() {
        let artifacts = [seen("b", 0, 1, 0.7), seen("a", 2, 0, 0.3)];
        let got = attribute(Known { correlated: Some(&artifacts), ..Known::default() });
        assert_eq!(got.artifact.unwrap().artifact_id, "a");
        assert_eq!(got.attribution.method, AttributionMethod::Trace);
        assert!((got.attribution.confidence - 0.7875).abs() < 1e-12);
    }

    #[test]
    fn of_equal_scores_the_smaller_id_wins() {
        let artifacts = [seen("b", 1, 0, 0.0), seen("a", 1, 0, 0.0)];
        let got = attribute(Known { correlated: Some(&artifacts), ..Known::default() });
        assert_eq!(got.artifact.unwrap().artifact_id, "a");
    }

    #[test]
    fn without_a_trace_the_suspected_deployment_then_the_module_then_none() {
        let deployed = Deployed { deployment_id: "dep-1".into(), artifact_id: Some("art-9".into()) };
        let known = Known { deployed: Some(&deployed), suspected_deployment: Some("dep-1"), ..Known::default() };
        let got = attribute(known).attribution;
        assert_eq!((got.method, got.confidence), (AttributionMethod::Deployment, 0.5));
        let other = Known { suspected_deployment: Some("dep-0"), ..known };
        let got = attribute(other).attribution;
        assert_eq!((got.method, got.confidence), (AttributionMethod::Module, 0.25));
        let got = attribute(Known { deployed: None, ..known });
        assert_eq!((got.artifact, got.attribution.method), (None, AttributionMethod::None));
    }

    proptest! {
        #[test]
        fn i3_the_shares_of_contributors_sum_to_one(
            artifacts in proptest::collection::vec((0_u8..20, 0_u32..50, 0_u32..50, 0.0_f64..=1.0), 0..20)
        ) {
            let artifacts: Vec<_> = artifacts.iter().map(|(n, o, s, t)| seen(&format!("art-{n}"), *o, *s, *t)).collect();
            let got = attribute(Known { correlated: Some(&artifacts), ..Known::default() }).attribution;
            let sum: f64 = got.contributors.iter().map(|c| c.share).sum();
            prop_assert!(got.contributors.is_empty() || (sum - 1.0).abs() < 1e-9);
            prop_assert!((0.0..=1.0).contains(&got.confidence));
        }
    }
}

//! Whose telemetry it is (SPEC 5.1.2, A46): names as SDKs send them, looked up in the item first, then in its resource,
//! and brought to the form of ids.

use super::attributes::{TEXT_BYTES_MAX, text_of};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opsloop_kernel::ident::{environment_of, slug_of, user_id_of};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap};

/// The dimensions of one item. The tenant is not among them: it is the channel's (A42).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Dimensions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skill: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

const TENANT: usize = 0;
const PROJECT: usize = 1;
const MODULE: usize = 2;
const EXECUTION: usize = 3;
const AGENT: usize = 4;
const SKILL: usize = 5;
const ARTIFACT: usize = 6;
const WORKFLOW: usize = 7;
const ENVIRONMENT: usize = 8;
const ENVIRONMENT_LEGACY: usize = 9;
const VERSION: usize = 10;
const SERVICE: usize = 11;
const NAMESPACE: usize = 12;
const NAMES: usize = 13;

/// The texts that a list of attributes has under the names that matter; made once per resource, once per item.
#[derive(Clone, Debug, Default)]
pub struct Names<'a> {
    texts: [Option<Cow<'a, str>>; NAMES],
    any: bool,
}

impl<'a> Names<'a> {
    pub fn of(attributes: &'a [KeyValue]) -> Self {
        let mut names = Self::default();
        for attribute in attributes {
            let Some(index) = index_of(attribute.key.trim()) else { continue };
            let text = attribute.value.as_ref().and_then(text_of);
            if names.texts[index].is_none() && text.is_some() {
                names.texts[index] = text;
                names.any = true;
            }
        }
        names
    }
    /// Whether an item of its own has nothing to say, so that it is what its resource is.
    pub fn is_empty(&self) -> bool {
        !self.any
    }
    fn text(&self, index: usize) -> Option<&str> {
        self.texts[index].as_deref()
    }
}

impl Dimensions {
    /// `project`: that of the ingest key, where telemetry names none.
    pub fn of(item: &Names<'_>, resource: &Names<'_>, project: Option<&str>) -> Self {
        let found = |index| item.text(index).or_else(|| resource.text(index));
        let slug = |index| found(index).and_then(slug_of);
        let user = |index| found(index).and_then(user_id_of);
        let environment = found(ENVIRONMENT).or_else(|| found(ENVIRONMENT_LEGACY));
        Self {
            project: slug(PROJECT).or_else(|| slug(NAMESPACE)).or_else(|| project.map(str::to_owned)),
            module: slug(MODULE).or_else(|| slug(SERVICE)),
            environment: environment.and_then(environment_of).map(str::to_owned),
            execution: user(EXECUTION),
            agent: user(AGENT),
            skill: user(SKILL),
            artifact: user(ARTIFACT),
            workflow: user(WORKFLOW),
            version: found(VERSION).map(|v| v[..v.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()),
        }
    }

    /// Those that the envelope has no field for, under their names there (SPEC 4.1).
    pub fn others(&self) -> BTreeMap<String, String> {
        let all = [
            ("executionId", &self.execution),
            ("agentId", &self.agent),
            ("skillId", &self.skill),
            ("artifactId", &self.artifact),
            ("workflowId", &self.workflow),
            ("version", &self.version),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
    }
}

/// Whether item or resource name another tenant than the channel's, compared in the form of ids (SPEC 5.1.4(2)).
pub fn names_another_tenant(item: &Names<'_>, resource: &Names<'_>, tenant: &str) -> bool {
    let named = item.text(TENANT).or_else(|| resource.text(TENANT));
    named.is_some_and(|name| slug_of(name).as_deref() != Some(tenant))
}

fn index_of(key: &str) -> Option<usize> {
    if let Some(rest) = key.strip_prefix("factory.") {
        return Some(match rest {
            "tenant.id" => TENANT,
            "project.id" => PROJECT,
            "module.id" => MODULE,
            "execution.id" => EXECUTION,
            "agent.id" => AGENT,
            "skill.id" => SKILL,
            "artifact.id" => ARTIFACT,
            "workflow.id" => WORKFLOW,
            _ => return None,
        });
    }
    Some(match key {
        "deployment.environment.name" => ENVIRONMENT,
        "deployment.environment" => ENVIRONMENT_LEGACY,
        "service.version" => VERSION,
        "service.name" => SERVICE,
        "service.namespace" => NAMESPACE,
        _ => return None,
    })
}

//! The identity of a stream (SPEC 5.2.2), and the labels that groups are made of.

use crate::otlp::{Dimensions, label_text};
use opsloop_kernel::json::canonical;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Tenant, project, resource attributes, scope name and version, metric name, unit, kind, temporality, monotonicity and
/// point attributes, in this order. Parts that many streams share are canonical JSON already.
pub struct Identity<'a> {
    pub tenant: &'a str,
    pub project: Option<&'a str>,
    /// `[resource attributes]`
    pub resource: &'a str,
    /// `[scope name, scope version, metric name, unit, kind, temporality, monotonic]`
    pub metric: &'a str,
    pub attributes: Value,
}

impl Identity<'_> {
    /// SHA-256 of the canonical JSON of the list; that of a list is the canonical JSON of its parts, joined.
    pub fn stream_id(&self) -> Vec<u8> {
        let head = canonical_list([self.tenant.into(), self.project.into()]);
        let tail = canonical_list([self.attributes.clone()]);
        let inner = [&head, self.resource, self.metric, &tail].map(|list| &list[1..list.len() - 1]);
        Sha256::digest(format!("[{}]", inner.join(",")).as_bytes()).to_vec()
    }
}

pub fn canonical_list(values: impl Into<Vec<Value>>) -> String {
    canonical(&Value::Array(values.into()))
}

/// Attributes as the text of labels; what is empty is absent.
pub fn text_labels(attributes: &Map<String, Value>) -> BTreeMap<String, String> {
    attributes.iter().filter_map(|(name, value)| Some((name.clone(), label_text(value)?))).collect()
}

/// The dimensions under the names that labels have.
pub fn labels_of(dimensions: Dimensions) -> BTreeMap<String, String> {
    let mut labels = dimensions.others();
    let Dimensions { project, module, environment, .. } = dimensions;
    for (name, value) in [("projectId", project), ("moduleId", module), ("environment", environment)] {
        labels.extend(value.map(|v| (name.to_owned(), v)));
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_stream_id_is_the_hash_of_one_canonical_list() {
        let resource = json!({"service.name": "api", "a": 1.5});
        let metric =
            [json!("scope"), json!(""), json!("requests"), json!("1"), json!("sum"), json!("delta"), json!(true)];
        let attributes = json!({"z": [1, "x"], "b": null});
        let identity = Identity {
            tenant: "acme",
            project: None,
            resource: &canonical_list([resource.clone()]),
            metric: &canonical_list(metric.clone()),
            attributes: attributes.clone(),
        };
        let mut whole = vec![json!("acme"), Value::Null, resource];
        whole.extend(metric);
        whole.push(attributes);
        let expected = opsloop_kernel::json::sha256_hex(canonical(&Value::Array(whole)).as_bytes());
        assert_eq!(hex::encode(identity.stream_id()), expected);
    }
}

//! FND-01: the vectors of SPEC 3.2.
use super::*;
use crate::incoming::Container;

const SLOT: Timestamp = Timestamp::from_millis(1_795_255_500_000);
const LABELS: &str = "environment=prod,moduleId=mod-api";
fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}
fn stream(name: &str) -> Stream {
    Stream::new(Container::State, name)
}

#[test]
fn fnd_01_point_and_series() {
    let requests = key("metric-aggregation", &acme(), ["http.server.requests", "60000", "1795255200000", LABELS]);
    assert_eq!(requests, "50013cabdcdcb5ede3ec9b7746cb06cfa52c0d1096d98136f266abf717c23e90");
    assert_eq!(
        event_id("MetricAggregated", &acme(), &requests, 1).as_str(),
        "evt-70b11478-fe23-5a2f-8941-9325ac8e2751"
    );
    let series = |parts: &[&str]| derived_id("ser", "series", &acme(), parts);
    assert_eq!(series(&["http.server.requests", "60000", LABELS, "sum"]), "ser-4931ea5c-b8fe-560c-b7b6-5c51b8980d1f");
    let duration = "http.server.request.duration";
    assert_eq!(
        key("metric-aggregation", &acme(), [duration, "60000", "1795255200000", LABELS, "histogram"]),
        "6cac63a873d81f9d1e25f2d647f3923318353f6f6ae41149b4e1e99e74bad542"
    );
    assert_eq!(series(&[duration, "60000", LABELS, "count", "histogram"]), "ser-3d7cfdb6-5841-558b-b94c-ce8c7655bc8b");
    let group = "environment=prod,moduleId=mod-api,projectId=booking,status=500";
    let by = "environment,moduleId,projectId,status";
    assert_eq!(
        key("metric-aggregation", &acme(), [duration, "60000", "1795255200000", group, "histogram", by]),
        "8ff60f4678b35c178dc92042462f29e69c8ed359f9a2c7baed088939162d9090"
    );
    assert_eq!(
        series(&[duration, "60000", group, "count", "histogram", by]),
        "ser-7be2640c-cf46-5b4a-b152-cdc976add7fa"
    );
}

#[test]
fn fnd_01_alert_and_incident() {
    let k = key("alert-trigger", &acme(), ["alr-7", "f00dfeed12345678", "1795255500000"]);
    assert_eq!(k, "c262922442a640bcb9af074f756d09ec051cec2496015cd10778443ebbb9b81c");
    let alert = event_id("AlertTriggered", &acme(), &k, 0);
    assert_eq!(alert.as_str(), "evt-8ce07d4b-4ec2-5c28-b4c4-064f4cb5f8a2");
    assert_eq!(
        derived_id("inc", "incident", &acme(), ["alert", "alr-7:f00dfeed12345678", "1795255200000"]),
        "inc-f3c5bfdc-4996-5757-b9a9-8c189abc9356"
    );
    assert_eq!(
        copy_id(alert.as_str(), "IncidentAnalysisWorker", 2),
        "evt-8ce07d4b-4ec2-5c28-b4c4-064f4cb5f8a2:IncidentAnalysisWorker:h2"
    );
    assert_eq!(owed_id([alert.as_str()]), "owed|0e91b80ec6d3fc0c4af914456035022c3086bf3905e413099e11e0e82899838d");
    assert_eq!(
        owed_id([alert.as_str(), "evt-70ff89f7-6ba1-5e10-9e57-737a0b5acd97"]),
        "owed|fbc3c75dfe974d6b68b44ee22ecc295d056b11901c29411520a79f89c04e42dc"
    );
}

#[test]
fn fnd_01_ticks_a50_effects_and_commands() {
    let tick = tick_id("AlertEvaluationWorker", SLOT);
    assert_eq!(tick.as_str(), "evt-30ca72b2-06c5-5ba7-bec6-25f6dc7a1e89");
    assert_eq!(page_id("AlertEvaluationWorker", SLOT, 7).as_str(), "evt-b955d8e0-2215-541b-a442-4b6f1f7201e5");
    let at = Timestamp::from_millis(1_795_255_530_000);
    let effect = effect_id("Escalation", &acme(), "incidents", "inc-f3c5bfdc-4996-5757-b9a9-8c189abc9356", "page", at);
    assert_eq!(effect.as_str(), "evt-70ff89f7-6ba1-5e10-9e57-737a0b5acd97");
    let command = command_id(&acme(), "POST", "/v1/incidents", "2b9d7c1e-retry-1");
    assert_eq!(command.as_str(), "evt-99bab09b-8640-5622-84df-b9457b1e29c5");
    assert_eq!(tick_trace(&tick).as_str(), "1ec9109aefbeee1261d9f73075d30f47");
}

#[test]
fn fnd_01_traces_and_correlations() {
    let worker = "AlertEvaluationWorker";
    assert_eq!(unit_trace(worker, SLOT, &acme(), "alr-7").as_str(), "e716604147989c5f3c8b9a39d4cc26a2");
    assert_eq!(run_correlation(&acme(), worker, "alr-7", SLOT).as_str(), "corr-d81c3f24-69c0-5d6e-bca4-5d47e336006f");
    assert_eq!(
        run_correlation(&TenantId::platform(), worker, "", SLOT).as_str(),
        "corr-1c65c34b-0f83-54d9-a413-e0ee1f3d6ce7"
    );
    let trace = TraceId::parse("4bf92f3577b34da6a3ce929d0e0e4736").unwrap();
    assert_eq!(trace_correlation(&acme(), &trace).as_str(), "corr-7b707513-d302-5f9b-bbdf-7139c4f1414a");
}

#[test]
fn fnd_01_shards_and_buckets() {
    assert_eq!(shard(&acme(), &stream("incidents")), 16);
    assert_eq!(bucket("http.server.requests", 8), 3);
    assert_eq!(bucket("http.server.request.duration", 8), 1);
}

#[test]
fn a51_user_text_in_ids_is_percent_encoded() {
    assert_eq!(percent("a/b#c d|é"), "a%2Fb%23c%20d%7C%C3%A9");
    assert_eq!(percent("A.z_0~:-"), "A.z_0~:-");
}

#[test]
fn e2e_08_identical_tenants_share_no_id() {
    let globex = TenantId::parse("globex").unwrap();
    let parts = ["x", "1"];
    assert_ne!(key("alert-trigger", &acme(), parts), key("alert-trigger", &globex, parts));
    assert_ne!(derived_id("inc", "incident", &acme(), parts), derived_id("inc", "incident", &globex, parts));
}

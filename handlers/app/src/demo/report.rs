//! The table at the end of a demo, and what is missing for the loop to be closed.

use super::{facts::Facts, operator::done};
use crate::loopback::Loopback;
use serde_json::Value;
use std::{collections::BTreeMap, error::Error, fmt::Write};

const PROJECT: &str = "shop";
/// Every kind of fact between telemetry and a new score.
const LOOP: [&str; 11] = [
    "TraceRecorded",
    "MetricAggregated",
    "AlertTriggered",
    "AlertResolved",
    "SloBreached",
    "SloRecovered",
    "IncidentOpened",
    "IncidentTransitioned",
    "IncidentResolved",
    "FeedbackItemCreated",
    "QualityScoreComputed",
];

pub struct Report {
    pub text: String,
    pub missing: Vec<String>,
}

pub async fn of(client: &Loopback, url: &str, facts: &Facts) -> Result<Report, Box<dyn Error>> {
    facts.print();
    let counts = facts.counts();
    let mut missing: Vec<String> = LOOP.iter().filter(|k| !counts.contains_key(**k)).map(|k| (*k).to_owned()).collect();
    let mut text = String::from("\nWhat came of it\n");
    telemetry(&mut text, &client.get(&format!("{url}/v1/metrics")).await?.text())?;
    for kind in LOOP {
        writeln!(text, "  {kind:<24} {:>7}", counts.get(kind).copied().unwrap_or(0))?;
    }
    incidents(&mut text, client, url, &mut missing).await?;
    quality(&mut text, client, url, &mut missing).await?;
    let dead = done(client.get(&format!("{url}/v1/dead-letters")).await?)?;
    let dead = dead["items"].as_array().map_or(0, Vec::len);
    writeln!(text, "  {:<24} {dead:>7}", "dead letters")?;
    if dead > 0 {
        missing.push(format!("{dead} messages that were dead-lettered"));
    }
    writeln!(text, "  {:<24} {}", "all event ids, SHA-256", facts.digest())?;
    Ok(Report { text, missing })
}

/// Spans, points and log records received, from the platform's own exposition.
fn telemetry(text: &mut String, exposition: &str) -> std::fmt::Result {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for line in exposition.lines().filter(|l| l.starts_with("otlp_items_total") && l.contains("accepted")) {
        let value: f64 = line.rsplit(' ').next().and_then(|v| v.parse().ok()).unwrap_or(0.0);
        for (signal, name) in [("traces", "spans"), ("metrics", "metric points"), ("logs", "log records")] {
            if line.contains(&format!("signal=\"{signal}\"")) {
                *sums.entry(name).or_default() += value;
            }
        }
    }
    sums.iter().try_for_each(|(name, sum)| writeln!(text, "  {name:<24} {sum:>7}"))
}

async fn incidents(
    text: &mut String,
    client: &Loopback,
    url: &str,
    missing: &mut Vec<String>,
) -> Result<(), Box<dyn Error>> {
    let list = done(client.get(&format!("{url}/v1/incidents")).await?)?;
    for item in list["items"].as_array().into_iter().flatten() {
        let id = item["incidentId"].as_str().unwrap_or_default();
        let whole = done(client.get(&format!("{url}/v1/incidents/{id}")).await?)?;
        let incident = if whole["incident"].is_object() { &whole["incident"] } else { &whole };
        let field = |name: &str| incident[name].as_str().unwrap_or("–").to_owned();
        writeln!(text, "\n  incident {id}\n    {} · {} · {}", field("severity"), field("status"), field("title"))?;
        writeln!(text, "    trace {} · root cause {}", field("traceId"), incident["rootCause"]["summary"])?;
        for entry in whole["log"].as_array().into_iter().flatten() {
            writeln!(text, "    {}", logged(entry))?;
        }
        if field("status") != "Resolved" {
            missing.push(format!("the resolution of {id}"));
        }
    }
    Ok(())
}

fn logged(entry: &Value) -> String {
    let field = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let clock = field("at").get(11..19).unwrap_or_default().to_owned();
    let way = match (field("from"), field("to")) {
        (from, to) if !to.is_empty() => format!("{from} → {to}"),
        _ => field("reason"),
    };
    format!("{clock}  {:>4}  {:<18} {way} {}", entry["seq"], field("kind"), field("actor"))
}

async fn quality(
    text: &mut String,
    client: &Loopback,
    url: &str,
    missing: &mut Vec<String>,
) -> Result<(), Box<dyn Error>> {
    let scores = done(client.get(&format!("{url}/v1/quality/projects/{PROJECT}")).await?)?;
    let mut hours: Vec<&Value> =
        scores["items"].as_array().into_iter().flatten().filter(|s| s["windowSizeMs"] == 3_600_000).collect();
    hours.sort_by_key(|s| s["windowStart"].as_str().unwrap_or_default().to_owned());
    writeln!(text, "\n  quality of {PROJECT} by hour")?;
    for score in &hours {
        let start = score["windowStart"].as_str().unwrap_or_default();
        let clock = start.get(11..16).unwrap_or_default();
        writeln!(text, "    {clock}  overall {:>6}  (revision {})", score["overall"], score["revision"])?;
    }
    if hours.is_empty() {
        missing.push(format!("a quality score of {PROJECT}"));
    }
    Ok(())
}

//! What must hold of stored logs; SPEC 5.10.1 numbers nothing, so the rules have names.

use crate::{
    journal::{Applied, End, Oracle, Verdict},
    workers::{
        otlp::sent,
        shared::{Model, Rule, oracles},
    },
};
use opsloop_kernel::{Container, Document, TelemetrySignal, TenantId, Timestamp, TraceId, window::HOUR_MS};
use opsloop_observability::{
    log_ingestion::{
        NAME,
        chunk::{CHUNK, Chunk, ChunkDoc, ChunkHead, HEAD},
        record::level_from,
    },
    otlp::{Request, proto::logs::v1::LogRecord},
};
use std::collections::BTreeMap;

pub fn invariants() -> Vec<Box<dyn Oracle>> {
    oracles(vec![
        Rule::at_commits("LIW heads", heads),
        Rule::at_commits("LIW streams", streams),
        Rule::at_commits("LIW chunks", unchanged),
        Rule::at_rest("LIW redacted", redacted),
        Rule::at_rest("LIW records", all_records),
    ])
}

/// Every rule looks at one commit, or at what is stored in the end.
#[derive(Default)]
struct Nothing;
impl Model for Nothing {
    fn follow(&mut self, _: &Applied) -> Verdict {
        Ok(())
    }
}

fn is_of_logs(stream: &opsloop_kernel::Stream) -> bool {
    stream.container == Container::Telemetry && stream.name.starts_with("logs/")
}

fn opened(document: &Document) -> Result<Chunk, String> {
    let chunk: ChunkDoc = document.body.read().map_err(|e| e.to_string())?;
    chunk.decode().map_err(|e| e.to_string())
}

/// The chunks that a commit left, with their ids.
fn written(commit: &Applied) -> Result<Vec<(&str, Chunk)>, String> {
    let mut found = vec![];
    if is_of_logs(&commit.stream) {
        for change in &commit.changes {
            if let (Some(id), Some(document)) = (change.id.0.strip_prefix(CHUNK), &change.after) {
                found.push((id, opened(document)?));
            }
        }
    }
    Ok(found)
}

/// A chunk and its head come in one commit and agree: counting reads heads only.
fn heads(_: &Nothing, commit: &Applied) -> Verdict {
    for (id, chunk) in written(commit)? {
        let beside = |c: &&crate::journal::Change| c.id.0.strip_prefix(HEAD) == Some(id);
        let head = commit.changes.iter().find(beside).and_then(|c| c.after.as_ref());
        let Some(head) = head else {
            return Err(format!("chunk {id} of {} came without its head", commit.stream.name));
        };
        let head: ChunkHead = head.body.read().map_err(|e| e.to_string())?;
        let at = |n: Option<i64>| n.map(Timestamp::from_nanos);
        let (first, last) = (chunk.logs.iter().map(|l| l.at).min(), chunk.logs.iter().map(|l| l.at).max());
        let worst = chunk.logs.iter().map(|l| l.level).max().map(level_from);
        let agrees = head.count == chunk.logs.len() as u64
            && at(first).is_some_and(|t| t.floor_millis() == head.first.floor_millis())
            && at(last).is_some_and(|t| t.floor_millis() == head.last.floor_millis())
            && worst == Some(head.worst);
        if !agrees {
            return Err(format!("chunk {id} has {} records, its head says {head:?}", chunk.logs.len()));
        }
    }
    Ok(())
}

/// A record lies under its trace, otherwise under a module and its hour.
fn streams(_: &Nothing, commit: &Applied) -> Verdict {
    for (id, chunk) in written(commit)? {
        for log in &chunk.logs {
            let record = log.record.as_ref().ok_or_else(|| format!("chunk {id} has an empty record"))?;
            let hour = Timestamp::from_nanos(log.at).floor_to(HOUR_MS, 0).millis();
            let belongs = match TraceId::of_bytes(&record.trace_id) {
                Some(trace) => commit.stream.name == format!("logs/{trace}"),
                None => commit.stream.name.ends_with(&format!("/{hour}")),
            };
            if !belongs {
                return Err(format!("{} has a record that belongs elsewhere: {record:?}", commit.stream.name));
            }
        }
    }
    Ok(())
}

/// A chunk is a function of its batch: whoever repeats it writes the same.
fn unchanged(_: &Nothing, commit: &Applied) -> Verdict {
    let mine = commit.changes.iter().filter(|_| is_of_logs(&commit.stream));
    for change in mine {
        if let (Some(before), Some(after)) = (&change.before, &change.after)
            && before.body != after.body
        {
            return Err(format!("{} of {} was changed by a repetition", change.id, commit.stream.name));
        }
    }
    Ok(())
}

fn stored<'a>(end: &'a End<'_>) -> impl Iterator<Item = &'a opsloop_embedded::store::Dumped> {
    end.documents.iter().filter(|d| is_of_logs(&d.stream) && d.document.kind == "log-chunk")
}

fn redacted(_: &Nothing, end: &End<'_>) -> Verdict {
    for d in stored(end) {
        let text = format!("{:?}", opened(&d.document)?);
        if let Some(secret) = end.plan.secrets.iter().find(|s| text.contains(s.as_str())) {
            return Err(format!("{} of {} has the secret {secret}", d.document.id, d.stream.name));
        }
    }
    Ok(())
}

/// What tells one record from another.
type Told = (TenantId, Vec<u8>, u64, String);

fn told(tenant: &TenantId, record: &LogRecord) -> Told {
    (tenant.clone(), record.trace_id.clone(), record.time_unix_nano, format!("{:?}", record.body))
}

/// Every record of an accepted batch is stored once, and no other is.
fn all_records(_: &Nothing, end: &End<'_>) -> Verdict {
    let mut left: BTreeMap<Told, (i64, bool)> = BTreeMap::new();
    for batch in sent(end, TelemetrySignal::Logs, NAME)?.into_values() {
        let Request::Logs(request) = batch.request else { continue };
        for record in request.resource_logs.into_iter().flat_map(|r| r.scope_logs).flat_map(|s| s.log_records) {
            let entry = left.entry(told(&batch.tenant, &record)).or_default();
            entry.0 += 1;
            entry.1 |= batch.dead;
        }
    }
    for d in stored(end) {
        for record in opened(&d.document)?.logs.into_iter().filter_map(|l| l.record) {
            left.entry(told(&d.tenant, &record)).or_default().0 -= 1;
        }
    }
    // Of a batch that died some chunks may be there, others not.
    let wrong = left.into_iter().find(|(_, (count, dead))| *count < 0 || (*count > 0 && !dead));
    match wrong {
        Some(((tenant, _, _, body), (count, _))) if count > 0 => {
            Err(format!("{tenant}: {body} was accepted and is lost"))
        }
        Some(((tenant, _, _, body), _)) => Err(format!("{tenant}: {body} is stored more often than it was sent")),
        None => Ok(()),
    }
}

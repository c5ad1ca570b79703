//! What a decision about feedback may look at.

use super::{
    Key,
    attribution::{Correlated, Deployed},
    decide::{CauseView, HourView, SignalView, SourceView, View},
    evidence::{self, Before, Counted, Day, Hour, MIN_OCCURRENCES, ONE_IN, Occurrence},
    input::{Input, Origin, Traced},
    item::{Held, Root, doc},
    policy::FeedbackPolicy,
};
use crate::{
    events::{FeedbackItem, FeedbackSource},
    trace_ingestion::{list_index, root_prefix},
};
use opsloop_kernel::{Container, DocId, Mutant, Refusal, Scope, Stop, Stream, Timestamp, Unit, ids::percent, mutant};
use serde::de::DeserializeOwned;

pub async fn observe(
    unit: &Unit<Key>,
    input: &Input,
    policy: &FeedbackPolicy,
    scope: &Scope<'_>,
) -> Result<View, Stop> {
    match (&unit.key, input) {
        (Key::Hour { fingerprint, hour }, _) => {
            Ok(View::Hour(hour_view(unit, fingerprint, *hour, policy, scope).await?))
        }
        (Key::Signal { fingerprint }, Input::Traced { origin, trace }) => {
            Ok(View::Signal(signal_view(unit, fingerprint, origin, trace, policy, scope).await?))
        }
        (Key::Source { source, source_id }, _) => {
            let root = doc::root(*source, source_id);
            Ok(View::Source(source_view(unit, &root, input.origin(), scope).await?))
        }
        (Key::Signal { .. }, _) => Err(Refusal::payload("a signal is counted of a trace only").into()),
    }
}

async fn source_view(
    unit: &Unit<Key>,
    root: &DocId,
    origin: Option<&Origin>,
    scope: &Scope<'_>,
) -> Result<SourceView, Stop> {
    let root: Option<Held<Root>> = held(scope, &unit.stream, root).await?;
    let mut view = SourceView { root, ..SourceView::default() };
    match (&view.root, origin) {
        (Some(root), Some(origin)) if origin.revision > root.body.revision || mutant::is(Mutant::OlderRevisionWins) => {
            view.item = held::<FeedbackItem>(scope, &unit.stream, &root.body.item).await?;
        }
        (None, Some(o)) => view.cause = cause(o.environment.as_deref(), o.module.as_deref(), scope).await?,
        _ => {}
    }
    Ok(view)
}

async fn signal_view(
    unit: &Unit<Key>,
    fingerprint: &str,
    origin: &Origin,
    trace: &Traced,
    policy: &FeedbackPolicy,
    scope: &Scope<'_>,
) -> Result<SignalView, Stop> {
    let at = origin.occurred_at;
    let stream = &unit.stream;
    let mut before = Before {
        day: held(scope, stream, &day_root(fingerprint, at)).await?,
        hour: held(scope, stream, &evidence::hour_id(fingerprint, evidence::hour_of(at))).await?,
        counted: held::<Counted>(scope, stream, &evidence::counted_id(fingerprint, &trace.trace_id)).await?,
        ..Before::default()
    };
    let earlier = before.counted.as_ref().filter(|c| c.body.revision > trace.revision).map(|c| c.body.at);
    if let Some(was) = earlier {
        if evidence::hour_of(was) != evidence::hour_of(at) {
            let id = evidence::hour_id(fingerprint, evidence::hour_of(was));
            before.left_hour = held::<Hour>(scope, stream, &id).await?;
        }
        if evidence::day_of(was) != evidence::day_of(at) {
            before.left_day = held::<Day>(scope, stream, &day_root(fingerprint, was)).await?;
        }
    }
    let mut view = SignalView { policy: policy.clone(), before, cause: CauseView::default() };
    if is_near_an_item(&view)
        && let Some(signal) = trace.signals.get(fingerprint)
    {
        let new = Occurrence::of(origin, trace, signal);
        let first = view.before.day.as_ref().and_then(|d| d.body.first.first()).filter(|o| o.at <= new.at);
        let first = first.unwrap_or(&new);
        view.cause = cause(first.environment.as_deref(), first.module_id.as_deref(), scope).await?;
    }
    Ok(view)
}

/// Who caused it is asked only where an item may come of it: most occurrences only count.
fn is_near_an_item(view: &SignalView) -> bool {
    let day = view.before.day.as_ref().map(|d| &d.body);
    view.policy.signal_items && day.is_some_and(|d| d.item.is_none() && d.first.len() + 1 >= MIN_OCCURRENCES)
}

async fn hour_view(
    unit: &Unit<Key>,
    fingerprint: &str,
    hour: Timestamp,
    policy: &FeedbackPolicy,
    scope: &Scope<'_>,
) -> Result<HourView, Stop> {
    let mut view = HourView {
        policy: policy.clone(),
        day: held(scope, &unit.stream, &day_root(fingerprint, hour)).await?,
        hour: held::<Hour>(scope, &unit.stream, &evidence::hour_id(fingerprint, hour)).await?,
        ..HourView::default()
    };
    let (Some(day), Some(held)) = (&view.day, &view.hour) else { return Ok(view) };
    let Some(first) = day.body.first.first().filter(|_| day.body.item.is_none() && policy.signal_items) else {
        return Ok(view);
    };
    view.cause = cause(first.environment.as_deref(), first.module_id.as_deref(), scope).await?;
    let enough = held.body.count.saturating_mul(ONE_IN).saturating_add(1);
    view.traces = traces_of_root(hour, first, enough, scope).await?;
    Ok(view)
}

/// How many traces of the occurrence's root the hour had, counted to `enough`. A record without root has no entry.
async fn traces_of_root(hour: Timestamp, of: &Occurrence, enough: u64, scope: &Scope<'_>) -> Result<u64, Stop> {
    let Some(root) = &of.root_span_name else { return Ok(0) };
    let prefix = root_prefix(of.record_module_id.as_deref(), root);
    let max = usize::try_from(enough).unwrap_or(usize::MAX);
    Ok(list_index(scope, hour, &prefix, max).await?.len() as u64)
}

async fn cause(environment: Option<&str>, module: Option<&str>, scope: &Scope<'_>) -> Result<CauseView, Stop> {
    // The view of SPEC 5.10 is a later issue; there is none to be read.
    let correlated = Correlated::NotThere;
    let (Some(environment), Some(module)) = (environment, module) else {
        return Ok(CauseView { correlated, deployed: None });
    };
    let stream = Stream::new(Container::State, "incidents");
    let id = DocId(format!("deployed|{}|{}", percent(environment), percent(module)));
    let deployed = scope.get(&stream, &id).await?.map(|s| s.read::<Deployed>()).transpose()?;
    Ok(CauseView { correlated, deployed })
}

fn day_root(fingerprint: &str, at: Timestamp) -> DocId {
    doc::root(FeedbackSource::RuntimeSignal, &evidence::source_id(fingerprint, &evidence::day_of(at)))
}

async fn held<T: DeserializeOwned>(scope: &Scope<'_>, stream: &Stream, id: &DocId) -> Result<Option<Held<T>>, Stop> {
    match scope.get(stream, id).await? {
        Some(stored) => Ok(Some(Held::of(&stored)?)),
        None => Ok(None),
    }
}

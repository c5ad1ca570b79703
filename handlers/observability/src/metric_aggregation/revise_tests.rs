use super::*;
use crate::metric_aggregation::types::SeriesKind;
use opsloop_kernel::{LabelSet, Timestamp};

const WINDOW: Window = Window { size_ms: 60_000, start: Timestamp::EPOCH };

fn group(module: &str, sum: f64) -> GroupPoint {
    let group_key: LabelSet = [("moduleId", module)].into_iter().collect();
    let point = combine::sealed(crate::metric_aggregation::MetricPoint { sum, ..combine::empty(WINDOW) });
    GroupPoint {
        id: GroupId { group_by: None, kind: SeriesKind::Counter, group_key },
        unit: "1".into(),
        gone: false,
        point,
    }
}
fn shown(groups: &[GroupPoint]) -> Vec<(&str, f64, u32, bool)> {
    groups.iter().map(|g| (g.id.group_key.get("moduleId"), g.point.sum, g.point.revision, g.gone)).collect()
}
fn announced(r: &Revised) -> Announced {
    Announced { revision: r.revision, hash: r.hash.clone() }
}
fn first() -> Revised {
    revise(WINDOW, vec![group("a", 1.0), group("b", 2.0)], vec![], None)
}

#[test]
fn what_is_new_is_listed_under_the_next_revision() {
    let one = first();
    assert_eq!((one.changed, one.write, one.revision, one.listed.len()), (true, true, 1, 2));
    let fresh = vec![group("a", 1.0), group("b", 3.0)];
    let two = revise(WINDOW, fresh.clone(), one.groups.clone(), Some(&announced(&one)));
    assert_eq!(shown(&two.groups), [("a", 1.0, 1, false), ("b", 3.0, 2, false)]);
    assert_eq!(shown(&two.listed), [("b", 3.0, 2, false)]);
    let again = revise(WINDOW, fresh, two.groups.clone(), Some(&announced(&two)));
    assert_eq!((again.changed, again.write, again.listed.len()), (false, false, 0));
}

#[test]
fn a64_what_went_ahead_under_a_revision_that_was_never_announced_is_new() {
    let one = first();
    // Both were written ahead; the commit that counts never came.
    let again = revise(WINDOW, vec![group("a", 1.0), group("b", 2.0)], one.groups.clone(), None);
    assert_eq!((again.changed, again.write, again.revision, again.listed.len()), (true, false, 1, 2));
    // A chunk came meanwhile: what is ahead of the ledger is rewritten and announced with the rest.
    let ahead = revise(WINDOW, vec![group("a", 9.0), group("b", 2.0)], one.groups.clone(), Some(&announced(&one)));
    let more = revise(WINDOW, vec![group("a", 9.0), group("b", 7.0)], ahead.groups, Some(&announced(&one)));
    assert_eq!(shown(&more.listed), [("a", 9.0, 2, false), ("b", 7.0, 2, false)]);
}

#[test]
fn a_group_that_has_nothing_any_more_is_announced_with_nothing_once() {
    let one = first();
    let two = revise(WINDOW, vec![group("a", 1.0)], one.groups.clone(), Some(&announced(&one)));
    assert_eq!(shown(&two.listed), [("b", 0.0, 2, true)]);
    let again = revise(WINDOW, vec![group("a", 1.0)], two.groups.clone(), Some(&announced(&two)));
    assert_eq!((again.changed, again.write), (false, false));
    let three = revise(WINDOW, vec![group("a", 5.0)], two.groups.clone(), Some(&announced(&two)));
    assert_eq!(shown(&three.groups), [("a", 5.0, 3, false), ("b", 0.0, 2, true)]);
    assert_eq!(shown(&three.listed), [("a", 5.0, 3, false)]);
}

#[test]
fn a64_no_point_is_left_ahead_of_its_ledger() {
    let one = first();
    let mut ahead = one.groups.clone();
    ahead[1].point.revision = 2;
    // What was written ahead under revision 2 came to nothing: the window is as it was announced.
    let again = revise(WINDOW, vec![group("a", 1.0), group("b", 2.0)], ahead, Some(&announced(&one)));
    assert_eq!((again.changed, again.write, again.revision), (false, true, 1));
    assert_eq!(shown(&again.groups), shown(&one.groups));
}

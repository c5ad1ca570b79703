use super::*;
use opsloop_kernel::{ETag, Stream, TenantId, incoming::FoundDue};

fn at(text: &str) -> Timestamp {
    format!("2026-11-21T{text}Z").parse().unwrap()
}
fn minute(start: &str) -> Window {
    Window { size_ms: 60_000, start: at(start) }
}

#[test]
fn keys_print_and_parse_themselves() {
    for key in [Key::Arrival(at("10:00:00")), Key::Close(minute("10:07:00")), Key::Root] {
        assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
    }
    assert!("window|60000|1".parse::<Key>().is_err());
}

#[test]
fn a_chain_goes_by_size_and_start_and_ends_with_the_root() {
    let window = |size_ms, start| Key::Close(Window { size_ms, start: at(start) });
    let wanted = [
        window(60_000, "10:04:00"),
        window(60_000, "10:05:00"),
        window(300_000, "10:00:00"),
        window(3_600_000, "09:00:00"),
        Key::Root,
    ];
    let due = DueUnits {
        tick: at("10:06:30"),
        tenant: TenantId::parse("acme").unwrap(),
        stream: Stream::new(opsloop_kernel::Container::Metrics, "metrics/3"),
        found: wanted.iter().rev().map(|k| FoundDue { id: k.to_string().into(), at: at("10:06:30") }).collect(),
    };
    let chains = MetricAggregationWorker::plan(&Input::Due(due));
    assert_eq!(chains.len(), 1);
    assert_eq!(chains[0].iter().map(|u| u.key).collect::<Vec<_>>(), wanted);
}

#[test]
fn a21_watermarks_stand_while_a_window_is_open() {
    let root = Stored { document: Bucket::default().document(at("10:06:30")), etag: ETag("1".into()) };
    let moved =
        |marks: &[Window], moment: &str| move_watermarks(&Some(root.clone()), marks, Moment(at(moment))).unwrap();
    let open = moved(&[minute("10:05:00")], "10:06:30");
    assert_eq!((open.reason, open.is_nothing()), ("a-window-is-open", true));
    let to_come = moved(&[minute("10:06:00")], "10:06:30");
    assert_eq!(to_come.reason, "watermarks-moved");
    let bucket: Bucket = to_come.writes[0].document().unwrap().body.read().unwrap();
    assert_eq!(bucket.watermarks, Watermarks::closed_by(at("10:06:30")));
    assert_eq!(to_come.writes[0].document().unwrap().due.as_ref().unwrap().at, at("10:07:30"));
    assert!(moved(&[], "10:05:30").is_nothing(), "its due is not the moment any more");
}

//! The catalogue and what is rendered of it (DESIGN 8): nothing drifts, nothing is consumed that nobody emits, no route
//! shadows another (P17), and no public route is a function's (A29).

use opsloop_kernel::{Source, http::Method};
use opsloop_shell::{
    Catalogue,
    catalogue::{HTTP_FUNCTIONS, INBOUND, OUTBOUND},
    render,
};
use std::{collections::BTreeSet, path::Path};

fn catalogue() -> Catalogue {
    opsloop_app::workers::catalogue(&Default::default())
}

#[test]
fn the_topology_is_closed() {
    assert_eq!(catalogue().problems(), Vec::<String>::new());
}

#[test]
fn what_is_listed_as_inbound_or_outbound_is_used() {
    let catalogue = catalogue();
    let consumed: BTreeSet<&str> = catalogue
        .subscribers()
        .flat_map(|(_, t)| match t.source {
            Source::Events { kinds, .. } => kinds.to_vec(),
            _ => vec![],
        })
        .collect();
    let emitted: BTreeSet<&str> = catalogue.workers().flat_map(|w| w.spec().emits.to_vec()).collect();
    assert!(INBOUND.iter().all(|k| consumed.contains(k) && !emitted.contains(k)));
    assert!(OUTBOUND.iter().all(|k| emitted.contains(k)));
}

#[test]
fn the_rendered_files_are_what_the_catalogue_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    assert_eq!(render::drift(&catalogue(), &root).unwrap(), Vec::<String>::new());
}

/// The host takes the first match in order of function name: what sorts earlier must not take what is another's.
#[test]
fn p17_no_earlier_route_shadows_a_later_one() {
    let mut functions = HTTP_FUNCTIONS.to_vec();
    functions.sort_by_key(|(name, _, _)| name.to_ascii_lowercase());
    for (n, (name, route, methods)) in functions.iter().enumerate() {
        for (later, other, others) in &functions[n + 1..] {
            let same_method = methods.iter().any(|m| others.contains(m));
            let shadows = route == other || (route.contains("{*") && other.starts_with("v1/"));
            assert!(!(same_method && shadows), "{name} takes what is {later}'s");
        }
    }
}

#[test]
fn a29_no_public_route_matches_a_function_and_none_has_a_slash_in_its_ids() {
    let names = render::functions(&catalogue());
    for (_, route, _) in HTTP_FUNCTIONS {
        let first = route.split('/').next().unwrap_or_default();
        assert!(!first.starts_with('{') && !names.keys().any(|n| n.eq_ignore_ascii_case(first)), "{route}");
    }
}

#[test]
fn every_message_trigger_is_binary_and_every_http_function_can_be_proxied() {
    for (name, json) in render::functions(&catalogue()) {
        let bindings = json["bindings"].as_array().unwrap();
        let of = |kind: &str| bindings.iter().filter(|b| b["type"] == kind).count();
        match bindings[0]["type"].as_str().unwrap() {
            "serviceBusTrigger" => {
                assert_eq!((bindings.len(), &bindings[0]["dataType"]), (1, &"binary".into()), "{name}")
            }
            "httpTrigger" => assert_eq!((bindings.len(), of("http")), (2, 1), "{name}"),
            "timerTrigger" => assert_eq!(bindings.len(), 1, "{name}"),
            other => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn no_two_endpoints_are_one_and_a_get_never_commands() {
    let catalogue = catalogue();
    let mut seen = BTreeSet::new();
    for e in catalogue.all_endpoints() {
        let shape: Vec<&str> = e.path.split('/').map(|s| if s.starts_with('{') { "{}" } else { s }).collect();
        assert!(seen.insert((e.method.name(), shape.join("/"))), "{} {} stands twice", e.method.name(), e.path);
        let commands = matches!(e.does, opsloop_kernel::http::Does::Command { .. });
        assert!(!(e.method == Method::Get && commands), "{}", e.path);
    }
    assert!(seen.len() > 20);
}

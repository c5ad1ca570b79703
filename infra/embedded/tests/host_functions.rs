//! Which functions run, how timers are driven, and where a request of a client goes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod host_support;

use std::time::Duration;

use host_support::lab::*;
use host_support::*;
use opsloop_embedded::host::{Host, HostClock as _, Pace};
use serde_json::{Value, json};

/// In the default mode, where the handler sees which function it was.
#[tokio::test]
async fn the_first_function_by_name_gets_the_request() {
    for (catch_all, methods, wanted) in [
        ("Api", &[][..], "Api"),
        ("api", &["post"][..], "api"),
        ("ZApi", &[][..], "Traces"),
        ("Api", &["put"][..], "Traces"), // a method that does not match falls through
    ] {
        let functions = [(catch_all, http("v1/{*rest}", methods)), ("Traces", http("v1/traces", &["post"]))];
        let mut lab = lab(json!({}), &functions, |_| Script::ok()).await;
        lab.options.settings.set("AzureFunctionsJobHost__customHandler__enableProxyingHttpRequest", "false");
        let host = Host::start(lab.options).await.unwrap();
        assert_eq!(post(&host, "/v1/traces", "x").await, 200);
        let line = format!("POST /{wanted} HTTP/1.1\r\n");
        assert!(lab.stub.requests()[0].starts_with(line.as_bytes()), "{catch_all} {methods:?}");
        host.stop().await;
    }
}

#[tokio::test]
async fn functions_that_are_not_http_cannot_be_reached_from_outside() {
    let functions = [("Bus", bus_function(None, false)), ("PublicApi", http("v1/{*rest}", &[]))];
    let lab = lab(json!({}), &functions, |_| Script::ok()).await;
    let host = Host::start(lab.options).await.unwrap();
    for path in ["/Bus", "/v1/../Bus", "/v1/%2e%2e/Bus", "/bus", "/nothing"] {
        assert_eq!(post(&host, path, "{}").await, 404, "{path}");
    }
    assert!(lab.stub.requests().is_empty());
    assert_eq!(status(&host, "GET /").await, 200);
    host.stop().await;
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let lab = lab(json!({}), &[("PublicApi", http("v1/{*rest}", &[]))], |_| Script::ok()).await;
    let host = Host::start(lab.options).await.unwrap();
    let one = "POST /v1/a HTTP/1.1\r\nHost: lab\r\nContent-Length: 3\r\n\r\nabc";
    let last = "POST /nothing HTTP/1.1\r\nHost: lab\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    let (raw, reset) = talk(host.http_addr().unwrap(), format!("{one}{one}{last}").as_bytes()).await;
    assert!(!reset);
    let text = String::from_utf8_lossy(&raw).into_owned();
    assert_eq!((text.matches("HTTP/1.1 200 OK").count(), text.matches("HTTP/1.1 404").count()), (2, 1), "{text}");
    host.stop().await;
}

#[tokio::test]
async fn a_wrong_function_is_left_out_and_the_others_run() {
    let two = json!({"bindings": [timer("0 * * * * *")["bindings"][0], {"type": "queueTrigger", "name": "other"}]});
    let functions = [
        ("Good", bus_function(None, false)),
        ("1bad", bus_function(None, false)),
        ("host", bus_function(None, false)),
        ("Empty", json!({"bindings": []})),
        ("Two", two),
        ("Unknown", json!({"bindings": [{"type": "pigeonTrigger", "name": "p"}]})),
        ("Twice", json!({"bindings": [timer("0 * * * * *")["bindings"][0], {"type": "http", "name": "TIMER"}]})),
        ("Unset", json!({"bindings": [{"type": "serviceBusTrigger", "name": "m", "queueName": "%NOT_SET%"}]})),
    ];
    let lab = lab(json!({}), &functions, |_| Script::ok()).await;
    let host = Host::start(lab.options).await.unwrap();
    assert_eq!(host.functions().collect::<Vec<_>>(), ["Good"]);
    let mut wrong: Vec<&str> = host.in_error().iter().map(|error| error.function.as_str()).collect();
    wrong.sort_unstable();
    assert_eq!(wrong, ["1bad", "Empty", "Twice", "Two", "Unknown", "Unset", "host"]);
    host.stop().await;
}

#[tokio::test]
async fn only_a_setting_disables_and_only_direct_children_count() {
    let mut disabled = bus_function(None, false);
    disabled["disabled"] = true.into();
    let functions = [("Ignored", disabled), ("Off", bus_function(None, false))];
    let mut lab = lab(json!({}), &functions, |_| Script::ok()).await;
    lab.options.settings.set("AzureWebJobs.Off.Disabled", "true");
    let root = lab.options.script_root.clone();
    std::fs::write(root.join("Ignored/index.js"), "x").unwrap();
    std::fs::create_dir_all(root.join("Sub/B")).unwrap();
    std::fs::write(root.join("Sub/B/function.json"), bus_function(None, false).to_string()).unwrap();
    let host = Host::start(lab.options).await.unwrap();
    assert_eq!(host.functions().collect::<Vec<_>>(), ["Ignored"]);
    assert!(host.in_error().is_empty());
    host.stop().await;
}

#[tokio::test]
async fn generated_routes_and_function_json_do_not_go_together() {
    let lab = lab(json!({}), &[("Good", bus_function(None, false))], |_| Script::ok()).await;
    let mut file: Value = serde_json::from_slice(&std::fs::read(&lab.options.host_json).unwrap()).unwrap();
    file["customHandler"]["http"] = json!({"routes": [{"route": "{*path}"}]});
    std::fs::write(&lab.options.host_json, file.to_string()).unwrap();
    assert!(Host::start(lab.options).await.is_err());
}

#[tokio::test]
async fn a_slow_timer_runs_again_at_once_and_holds_up_nobody() {
    let functions = [("Fast", timer("*/2 * * * * *")), ("Slow", timer("1-59/2 * * * * *"))];
    let mut lab = lab(json!({}), &functions, |index| Script {
        delay: Duration::from_millis(if index == 0 { 300 } else { 0 }),
        ..Script::ok()
    })
    .await;
    lab.options.pace = Pace::Wall;
    let host = Host::start(lab.options).await.unwrap();
    host.ready().await;
    let calls = |name: &str| {
        let line = format!("POST /{name} ");
        lab.stub.requests().iter().filter(|request| request.starts_with(line.as_bytes())).count()
    };
    let started = |count: usize| lab.stub.requests.lock().unwrap().len() >= count;
    lab.clock.stepped.advance_to(at("2026-11-21T05:06:08Z"));
    until_true(|| started(1)).await; // Fast has begun, and takes its time
    lab.clock.stepped.advance_to(at("2026-11-21T05:06:13Z"));
    until_true(|| calls("Slow") == 1).await;
    assert_eq!(calls("Fast"), 1, "still in its first run");
    until_true(|| calls("Fast") == 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((calls("Fast"), calls("Slow")), (2, 1), "what was missed is made good once");
    host.stop().await;
}

#[tokio::test]
async fn a_timer_that_fails_waits_for_its_next_occurrence() {
    let failing = Script::answer("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n");
    let lab = lab(json!({}), &[("Min", timer("0 * * * * *"))], move |_| failing.clone()).await;
    let host = Host::start(lab.options).await.unwrap();
    let first = host.next_timer().unwrap();
    assert_eq!(first, at("2026-11-21T05:07:00Z"));
    assert_eq!(host.fire_due(lab.clock.now()).await, 0);
    lab.clock.stepped.advance_to(first);
    assert_eq!(host.fire_due(first).await, 1);
    assert_eq!(host.fire_due(first).await, 0);
    assert_eq!(host.next_timer().unwrap(), at("2026-11-21T05:08:00Z"));
    assert_eq!(lab.stub.requests().len(), 1);
    host.stop().await;
}

#[tokio::test]
async fn what_was_missed_while_the_host_was_down_is_called_once() {
    let status = directory().join("timers.json");
    for (now, startup, requests) in
        [("2026-11-21T05:06:07Z", 0, 0), ("2026-11-21T05:09:30Z", 1, 1), ("2026-11-21T05:09:40Z", 0, 0)]
    {
        let mut lab = lab(json!({}), &[("Min", timer("0 * * * * *"))], |_| Script::ok()).await;
        lab.options.timer_status = Some(status.clone());
        lab.clock.stepped.advance_to(at(now));
        let host = Host::start(lab.options).await.unwrap();
        assert_eq!(host.fire_startup(at(now)).await, startup, "{now}");
        let sent = lab.stub.requests();
        assert_eq!(sent.len(), requests);
        for request in sent {
            let body = String::from_utf8(parts(&request).body).unwrap();
            assert!(
                body.contains(r#""Next":"2026-11-21T05:07:00+00:00""#) && body.contains(r#""IsPastDue":true"#),
                "{body}"
            );
        }
        assert!(host.next_timer().unwrap() > at(now));
        host.stop().await;
    }
}

#[tokio::test]
async fn attempts_of_one_invocation_share_its_id() {
    let mut function = timer("0 * * * * *");
    function["retry"] = json!({"strategy": "exponentialBackoff", "maxRetryCount": 5,
        "minimumInterval": "00:00:01", "maximumInterval": "00:15:00"});
    let failing = Script::answer("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n");
    let lab =
        lab(json!({}), &[("Min", function)], move |index| if index < 2 { failing.clone() } else { Script::ok() }).await;
    let host = Host::start(lab.options).await.unwrap();
    host.fire_due(at("2026-11-21T05:07:00Z")).await;
    let sent = lab.stub.requests();
    assert_eq!(sent.len(), 3);
    let id = |request: &[u8]| header_of(request, "X-Azure-Functions-InvocationId").unwrap();
    assert!(sent.iter().all(|request| id(request) == id(&sent[0])));
    let guid = |request: &[u8]| {
        let body: Value = serde_json::from_slice(&parts(request).body).unwrap();
        body["Metadata"]["sys"]["RandGuid"].clone()
    };
    assert_ne!(guid(&sent[0]), guid(&sent[1]));
    host.stop().await;
}

#[tokio::test]
async fn the_admin_api_runs_timers_and_messages_but_not_http() {
    let functions =
        [("Bus", bus_function(Some("binary"), false)), ("T", timer("0 0 0 1 1 *")), ("Web", http("web", &[]))];
    let lab = lab(json!({}), &functions, |_| Script::ok()).await;
    let host = Host::start(lab.options).await.unwrap();
    for (path, body, wanted, calls) in [
        ("/admin/functions/T", r#"{"input":null}"#, 202, 1),
        ("/admin/functions/bus", r#"{"input":"hello"}"#, 202, 2),
        ("/admin/functions/Web", r#"{"input":""}"#, 202, 2),
        ("/admin/functions/T", "", 400, 2),
        ("/admin/functions/None", "{}", 404, 2),
    ] {
        assert_eq!(post(&host, path, body).await, wanted, "{path}");
        assert_eq!(lab.stub.requests().len(), calls, "{path}");
    }
    assert_eq!(status(&host, "GET /admin/host/status").await, 200);
    host.stop().await;
}

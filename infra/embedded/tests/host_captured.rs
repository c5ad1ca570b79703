//! What the host sends, byte for byte, against what the real one sent. Ids, ports and the trace of a fresh span aside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod host_support;

use std::sync::Arc;
use std::time::Duration;

use host_support::*;
use jiff::Timestamp;
use opsloop_embedded::host::{
    BodyFraming, BusIdentity, Delivered, Host, HostOptions, LockToken, Pace, SilentSink, Telemetry, Value as Net, Zone,
};
use serde_json::{Value, json};

fn captures() -> Vec<(String, Value)> {
    let inputs = golden_json("inputs.json");
    inputs["captures"].as_object().unwrap().iter().map(|(name, input)| (name.clone(), input.clone())).collect()
}

fn expected(name: &str) -> Vec<u8> {
    std::fs::read(golden(&format!("captured/{name}.http"))).unwrap()
}

fn expected_json(name: &str) -> Value {
    let path = golden(&format!("captured/{name}.json"));
    std::fs::read(path).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap())
}

/// Replaces what differs between any two runs by a mark of the same length.
fn masked(raw: &[u8], fresh_trace: bool) -> Parts {
    let mut parts = parts(raw);
    for line in &mut parts.head {
        if let Some((name, value)) = line.clone().split_once(": ") {
            let value = match name {
                "Host" if value.starts_with("127.0.0.1:") => "127.0.0.1:<port>".to_owned(),
                "X-Azure-Functions-InvocationId" | "x-ms-invocation-id" => {
                    format!("{}<guid>", &value[..value.len() - 36])
                }
                "traceparent" if fresh_trace => format!("<trace>{}", &value[52..]),
                "traceparent" if !value.contains("-2222222222222222-") => {
                    format!("{}<span>{}", &value[..36], &value[52..])
                }
                _ => value.to_owned(),
            };
            *line = format!("{name}: {value}");
        }
    }
    let mut body = std::mem::take(&mut parts.body);
    for name in ["\"RandGuid\":\"", "\"InstanceId\":\""] {
        if let Some(at) = body.windows(name.len()).position(|window| window == name.as_bytes()) {
            let start = at + name.len();
            body[start..start + 36].fill(b'-');
        }
    }
    parts.body = body;
    parts
}

fn assert_same(name: &str, actual: &[u8], fresh_trace: bool) {
    let (actual, wanted) = (masked(actual, fresh_trace), masked(&expected(name), fresh_trace));
    assert_eq!(actual.head, wanted.head, "{name}: head");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(text(&actual.body), text(&wanted.body), "{name}: body");
    assert_eq!(actual.body, wanted.body, "{name}: body");
    assert_eq!(actual.chunks, wanted.chunks, "{name}: chunks");
}

fn instant(value: &Value) -> Option<Timestamp> {
    value.as_str().and_then(|text| text.parse().ok())
}

fn utc_now(name: &str, input: &Value) -> Timestamp {
    let now = instant(&expected_json(name)["Metadata"]["sys"]["UtcNow"]);
    now.or_else(|| instant(&input["received_at"])).unwrap()
}

fn base(input: &Value, port: u16, function: &str, function_json: Value) -> HostOptions {
    let mode = input["mode"].as_str().unwrap_or_default();
    let host_json = json!({
        "version": "2.0", "functionTimeout": "00:05:00",
        "customHandler": {
            "description": {"defaultExecutablePath": "handler"}, "port": port,
            "enableProxyingHttpRequest": mode == "proxying", "enableForwardingHttpRequest": mode == "forwarding",
        },
    });
    let mut options = options(&host_json, &[(function, function_json)]);
    options.command = Some(sitting());
    options.sink = Arc::new(SilentSink);
    options.pace = Pace::Stepped;
    options.client =
        BusIdentity { namespace: "lab.servicebus.windows.net".to_owned(), identifier: "lab-id".to_owned() };
    if input["core_tools"] == true {
        options.framing = BodyFraming::ContentLength;
    }
    options.telemetry = match input["telemetry"].as_str().unwrap_or("none") {
        "none" => Telemetry::None,
        "Application Insights" => Telemetry::ApplicationInsights,
        _ => Telemetry::Listener,
    };
    options
}

fn member<'a>(value: &'a Net, name: &str) -> Option<&'a Net> {
    let Net::Object(members) = value else { return None };
    members.iter().find(|(have, _)| have == name).map(|(_, value)| value)
}

/// A value of inputs.json, `{"$t":T,"v":V}`; its members are in order, which serde_json's map would not keep.
fn net(value: &Net) -> Net {
    let Some(Net::String(kind)) = member(value, "$t") else { return value.clone() };
    let v = member(value, "v").unwrap_or(&Net::Null);
    let text = || match v {
        Net::String(text) => text.as_str(),
        _ => panic!("{v:?}"),
    };
    let each = |convert: &dyn Fn(&Net) -> Net| match v {
        Net::Array(items) => Net::Array(items.iter().map(convert).collect()),
        Net::Object(members) => Net::Object(members.iter().map(|(name, item)| (name.clone(), convert(item))).collect()),
        _ => panic!("{v:?}"),
    };
    match kind.as_str() {
        "null" => Net::Null,
        "bool" => Net::Bool(text() == "true"),
        "int" | "long" | "short" | "ulong" | "byte" => Net::Int(text().parse().unwrap()),
        "double" => Net::Double(text().parse().unwrap()),
        "float" => Net::Float(text().parse().unwrap()),
        "decimal" => Net::Decimal(text().to_owned()),
        "bytes" => Net::Bytes(base64(text())),
        "date" => date(text()),
        "dateoff" => Net::Date(text()[..text().len() - 6].parse().unwrap(), Zone::Offset(120)),
        "dict" | "list" | "strings" | "ints" => each(&net),
        "dates" => each(&|item| match item {
            Net::String(text) => date(text),
            _ => panic!("{item:?}"),
        }),
        _ => Net::text(text()),
    }
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn date(text: &str) -> Net {
    let zone = if text.ends_with('Z') { Zone::Utc } else { Zone::Unspecified };
    Net::Date(text.trim_end_matches('Z').parse().unwrap(), zone)
}

fn properties(name: &str, index: usize, of: &str) -> Vec<(String, Net)> {
    let file = Net::parse(&std::fs::read_to_string(golden("inputs.json")).unwrap()).unwrap();
    let messages = ["captures", name, "messages"].iter().fold(&file, |at, name| member(at, name).unwrap());
    let Net::Array(messages) = messages else { panic!() };
    match member(&messages[index], of) {
        Some(Net::Object(members)) => members.iter().map(|(name, value)| (name.clone(), net(value))).collect(),
        _ => Vec::new(),
    }
}

/// The n-th message of a capture; what the input leaves open is taken from what was sent.
fn delivered(name: &str, input: &Value, index: usize) -> Delivered {
    let given = &input["messages"][index];
    let metadata = &expected_json(name)["Metadata"];
    let many = input["cardinality"] == "many";
    let shown = |single: &str| -> Option<String> {
        let text = if many {
            let column: Value = serde_json::from_str(metadata[format!("{single}Array")].as_str()?).unwrap();
            return column[index].as_str().map(str::to_owned);
        } else {
            metadata[single].as_str()?
        };
        Some(text.trim_matches('"').to_owned())
    };
    let text = |member: &str| given[member].as_str().map(str::to_owned);
    let body = given["bodyBase64"]
        .as_str()
        .map_or_else(|| given["body"].as_str().unwrap_or_default().as_bytes().to_vec(), base64);
    Delivered {
        lock: text("LockToken").or_else(|| shown("LockToken")).map(LockToken),
        message_id: text("MessageId"),
        body: body.into(),
        content_type: text("ContentType"),
        subject: text("Subject"),
        correlation_id: text("CorrelationId"),
        reply_to: text("ReplyTo"),
        to: text("To"),
        session_id: text("SessionId"),
        partition_key: text("PartitionKey"),
        properties: properties(name, index, "ApplicationProperties"),
        delivery_count: 1,
        sequence_number: given["SequenceNumber"].as_i64().unwrap_or(1),
        enqueued_at: text("EnqueuedTime").or_else(|| shown("EnqueuedTime")).unwrap().parse().unwrap(),
        ..Delivered::default()
    }
}

async fn check_bus(name: &str, input: &Value) {
    let now = utc_now(name, input);
    let retry = name.contains("Retry");
    let stub = Stub::start(move |index| if retry && index == 0 { status_500() } else { Script::ok() }).await;
    let mut function = bus_function(input["dataType"].as_str(), input["cardinality"] == "many");
    function["bindings"][0]["name"] = input["binding"].as_str().unwrap_or("msg").into();
    if retry {
        function["retry"] = input["retry"].clone();
    }
    let messages = (0..input["messages"].as_array().map_or(1, Vec::len)).map(|index| delivered(name, input, index));
    let source = Scripted::with(messages.collect());
    let mut options = base(input, stub.port, input["function"].as_str().unwrap(), function);
    options.clock = HurriedClock::at(now, 1);
    options.source = Arc::clone(&source) as _;
    let host = Host::start(options).await.unwrap();
    host.drain().await;
    assert_same(name, stub.requests().last().unwrap(), true);
    assert!(source.settled().iter().all(|(_, what)| *what == "completed"), "{name}");
    host.stop().await;
}

fn status_500() -> Script {
    let events = golden_json("answers.json");
    let event =
        events["events"].as_array().unwrap().iter().find(|event| event["name"] == "status_500").unwrap().clone();
    Script::answer(latin1(event["raw"].as_str().unwrap()))
}

#[tokio::test]
async fn messages_are_sent_as_the_host_sends_them() {
    for (name, input) in captures() {
        // enc_bin_extra shows binding data that no Service Bus message has: see the test of the encoder below.
        if input["kind"] == "bus" && name != "enc_bin_extra" {
            check_bus(&name, &input).await;
        }
    }
}

#[test]
fn binding_data_of_every_type_is_encoded_as_the_host_does() {
    use opsloop_embedded::host::envelope::{Sys, encode, single};
    let name = "enc_bin_extra";
    let (_, input) = captures().into_iter().find(|(have, _)| have == name).unwrap();
    let trigger = opsloop_embedded::host::BusTrigger {
        entity: opsloop_embedded::host::Entity::queue("q"),
        many: false,
        data_type: opsloop_embedded::host::DataType::Binary,
    };
    let client = BusIdentity { namespace: "lab.servicebus.windows.net".to_owned(), identifier: "lab-id".to_owned() };
    let mut shown = single(&trigger, &delivered(name, &input, 0), &client);
    shown.binding_data.extend(properties(name, 0, "Extra"));
    let wanted = std::fs::read_to_string(golden("captured/enc_bin_extra.json")).unwrap();
    let guid = expected_json(name)["Metadata"]["sys"]["RandGuid"].as_str().unwrap().to_owned();
    let sys = Sys { function: "BusBin".to_owned(), now: utc_now(name, &input), guid };
    assert_eq!(encode("msg", &shown, &sys, None), wanted);
}

async fn check_timer(name: &str, input: &Value) {
    let now = utc_now(name, input);
    let json = expected_json(name);
    let (status, past_due) = (&json["Data"]["timer"]["ScheduleStatus"], json["Data"]["timer"]["IsPastDue"] == true);
    let attempt =
        json["Metadata"]["RetryContext"]["RetryCount"].as_u64().map_or(0, |count| usize::try_from(count).unwrap());
    let unreadable = name == "timer_RetryFix_3";
    let stub = Stub::start(move |index| match index {
        index if index >= attempt => Script::ok(),
        1 if unreadable => Script::answer(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"Outputs\":",
        ),
        _ => status_500(),
    })
    .await;
    let function = input["function"].as_str().unwrap();
    let function_json = input["function_json"].clone();
    let on_startup = function_json["bindings"][0]["runOnStartup"] == true || past_due;
    let mut options = base(input, stub.port, function, function_json);
    let never = "0001-01-01T00:00:00+00:00";
    let last = status["Last"].as_str().filter(|last| *last != never);
    if let Some(last) = last {
        let stored = json!({function: {"last": last, "next": status["Next"], "lastUpdated": last}});
        let path = options.script_root.join("timers.json");
        std::fs::write(&path, stored.to_string()).unwrap();
        options.timer_status = Some(path);
    }
    let by_admin = name.starts_with("admin");
    let start = match instant(&status["LastUpdated"]) {
        Some(updated) if by_admin => updated,
        _ if on_startup => now,
        _ => instant(&status["Next"]).unwrap_or(now) - Duration::from_secs(2),
    };
    let clock = HurriedClock::at(start, 1);
    options.clock = Arc::clone(&clock) as _;
    let host = Host::start(options).await.unwrap();
    clock.stepped.advance_to(now);
    let fired = match (by_admin, on_startup) {
        (true, _) => usize::from(host.fire_one(function).await.is_some()),
        (false, true) => host.fire_startup(now).await,
        (false, false) => host.fire_due(now).await,
    };
    assert_eq!(fired, 1, "{name}");
    let mut sent = stub.requests()[attempt].clone();
    if unreadable {
        assert!(is_meant("unreadable_cause"));
        sent = with_cause_of(&sent, &expected(name));
    }
    assert_same(name, &sent, true);
    host.stop().await;
}

/// Puts the golden text of the reader's exception in place of ours, and cuts the chunks anew.
fn with_cause_of(sent: &[u8], wanted: &[u8]) -> Vec<u8> {
    let body = |raw: &[u8]| String::from_utf8(parts(raw).body).unwrap();
    let cause = |text: &str| -> (usize, usize) {
        let start = text.find("JsonSerializationException\",\"Message\":\"").unwrap() + 39;
        (start, start + text[start..].find("\",\"Data\":null").unwrap())
    };
    let (sent_body, wanted_body) = (body(sent), body(wanted));
    let ((from, to), (wanted_from, wanted_to)) = (cause(&sent_body), cause(&wanted_body));
    let text = format!("{}{}{}", &sent_body[..from], &wanted_body[wanted_from..wanted_to], &sent_body[to..]);
    let head = sent.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let mut out = sent[..head].to_vec();
    assert!(text.is_ascii());
    for piece in text.as_bytes().chunks(1_024) {
        out.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

#[tokio::test]
async fn timers_are_sent_as_the_host_sends_them() {
    for (name, input) in captures() {
        if input["kind"] == "timer" {
            check_timer(&name, &input).await;
        }
    }
}

async fn check_http(name: &str, input: &Value) {
    let answer = input["handler_answer"].as_str().map_or_else(Script::ok, |raw| Script::answer(latin1(raw)));
    let stub = Stub::start(move |_| answer.clone()).await;
    let function_json = input["function_json"].clone();
    let mut options = base(input, stub.port, input["function"].as_str().unwrap(), function_json);
    options.http = vec!["127.0.0.1:0".parse().unwrap()];
    options.clock = HurriedClock::at(utc_now(name, input), 1);
    let host = Host::start(options).await.unwrap();
    let request = input["client_request"].as_str().unwrap();
    let (got, _) = talk(host.http_addr().unwrap(), &latin1(request)).await;
    let client_traces = request.contains("traceparent: ");
    assert_same(name, &stub.requests()[0], !client_traces);
    if let Some(wanted) = input["client_response"].as_str() {
        assert_eq!(without_date(&got), without_date(&latin1(wanted)), "{name}: what the client got");
    }
    host.stop().await;
}

fn without_date(raw: &[u8]) -> String {
    let text: String = raw.iter().copied().map(char::from).collect();
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: ")).collect()
}

#[tokio::test]
async fn http_requests_are_passed_on_as_the_host_passes_them_on() {
    for (name, input) in captures() {
        if input["kind"] == "http" {
            check_http(&name, &input).await;
        }
    }
}

#[tokio::test]
async fn the_probe_has_a_host_header_and_nothing_else() {
    let (_, input) = captures().into_iter().find(|(name, _)| name == "readiness_probe").unwrap();
    let stub = Stub::start(|_| Script::ok()).await;
    let host = Host::start(base(&input, stub.port, "Bus", bus_function(None, false))).await.unwrap();
    assert!(host.ready().await);
    let probes = stub.probes.lock().unwrap().clone();
    assert_eq!(probes.len(), 1);
    assert_eq!(masked(&probes[0], false), masked(&expected("readiness_probe"), false));
    host.stop().await;
}

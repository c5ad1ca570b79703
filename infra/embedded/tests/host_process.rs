//! How the host starts, watches and ends its handler, against the facts of process.json.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod host_support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use host_support::lab::until_true as until;
use host_support::*;
use opsloop_embedded::host::{HandlerCommand, Host, HostOptions, Pace, SilentSink};
use serde_json::{Value, json};

const NOW: &str = "2026-11-21T05:06:07Z";

/// The handler of these tests: this test binary, started again.
#[test]
#[ignore = "is the handler, not a test"]
fn handler() {
    let Ok(record) = std::env::var("HANDLER_RECORD") else { return };
    let mode = std::env::var("HANDLER_MODE").unwrap_or_default();
    let port: u16 = std::env::var("FUNCTIONS_CUSTOMHANDLER_PORT").unwrap().parse().unwrap();
    note(&record, &format!("start {} {port}", std::process::id()));
    match mode.as_str() {
        "never" => std::thread::sleep(Duration::from_secs(600)),
        "exit1" => std::process::exit(1),
        "late" => std::thread::sleep(Duration::from_millis(400)),
        _ => {}
    }
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    for stream in listener.incoming() {
        let record = record.clone();
        std::thread::spawn(move || converse(&record, stream.unwrap()));
    }
}

fn note(record: &str, line: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(record).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn converse(record: &str, stream: std::net::TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        note(record, &format!("request {path}"));
        let pause = |ms| std::thread::sleep(Duration::from_millis(ms));
        if let Some(code) = path.strip_prefix("/Exit") {
            pause(100); // so that other calls are in flight
            std::process::exit(code.parse().unwrap());
        }
        match path.as_str() {
            "/Slow" => pause(600_000),
            "/Wait" => pause(600),
            _ => {}
        }
        let body = r#"{"Outputs":{},"Logs":[],"ReturnValue":null}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

fn this_binary(test: &str) -> HandlerCommand {
    HandlerCommand {
        program: std::env::current_exe().unwrap(),
        arguments: ["--exact", test, "--ignored", "--nocapture"].map(str::to_owned).into(),
    }
}

/// A host with the handler above and a queue for each of its functions.
struct Lab {
    host: Arc<Host>,
    source: Arc<Scripted>,
    record: PathBuf,
}

struct LabOptions {
    mode: &'static str,
    hurry: u32,
    pace: Pace,
    isolate: bool,
    function_timeout: &'static str,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self { mode: "", hurry: 1, pace: Pace::Stepped, isolate: false, function_timeout: "00:05:00" }
    }
}

fn lab_options(with: &LabOptions, source: &Arc<Scripted>) -> (HostOptions, PathBuf) {
    let host_json = json!({
        "version": "2.0", "functionTimeout": with.function_timeout,
        "customHandler": {"description": {"defaultExecutablePath": "handler"}, "initializationTimeout": "00:00:03"},
    });
    let functions: Vec<(&str, Value)> = ["Ok", "Slow", "Wait", "Exit0", "Exit1", "Exit200"]
        .into_iter()
        .map(|name| {
            let mut function = bus_function(Some("binary"), false);
            function["bindings"][0]["queueName"] = name.into();
            (name, function)
        })
        .collect();
    let mut options = options(&host_json, &functions);
    let record = options.script_root.join("record.txt");
    options.command = Some(this_binary("handler"));
    options.environment = vec![
        ("HANDLER_RECORD".to_owned(), record.display().to_string()),
        ("HANDLER_MODE".to_owned(), with.mode.to_owned()),
    ];
    options.pace = with.pace;
    options.isolate = with.isolate;
    options.framing = opsloop_embedded::host::BodyFraming::ContentLength;
    options.clock = HurriedClock::at(NOW.parse().unwrap(), with.hurry);
    options.source = Arc::clone(source) as _;
    options.sink = Arc::new(SilentSink);
    (options, record)
}

impl Lab {
    async fn start(with: LabOptions) -> Self {
        let source = Scripted::with(Vec::new());
        let (options, record) = lab_options(&with, &source);
        Self { host: Arc::new(Host::start(options).await.unwrap()), source, record }
    }

    /// Sends one message to each of the functions and waits for all of them.
    async fn call(&self, functions: &[&str]) -> Vec<(String, &'static str)> {
        for function in functions {
            self.source.push(message_to(function, function));
        }
        self.host.drain().await;
        std::mem::take(&mut *self.source.settled.lock().unwrap())
    }

    fn lines(&self, kind: &str) -> Vec<String> {
        lines(&self.record, kind)
    }

    async fn until_started(&self, count: usize) -> i32 {
        until(|| self.lines("start").len() >= count).await;
        self.host.ready().await;
        pid(&self.lines("start")[count - 1])
    }

    async fn has_ended(&self) -> bool {
        tokio::time::timeout(Duration::from_millis(500), self.host.ended()).await.is_ok()
    }
}

fn lines(record: &Path, kind: &str) -> Vec<String> {
    let text = std::fs::read_to_string(record).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix(kind)).map(|line| line.trim().to_owned()).collect()
}

fn pid(start: &str) -> i32 {
    start.split(' ').next().unwrap().parse().unwrap()
}

fn signal(name: &str, pid: i32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

fn is_alive(pid: i32) -> bool {
    // A zombie is not alive, though it can be signalled.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn completed(id: &str) -> (String, &'static str) {
    (id.to_owned(), "completed")
}

fn abandoned(id: &str) -> (String, &'static str) {
    (id.to_owned(), "abandoned")
}

#[tokio::test]
async fn exit_0_is_for_ever_and_later_calls_fail_at_once() {
    let lab = Lab::start(LabOptions::default()).await;
    let mut settled = lab.call(&["Slow", "Exit0"]).await;
    settled.sort();
    assert_eq!(settled, [abandoned("Exit0"), abandoned("Slow")]);
    let started = Instant::now();
    assert_eq!(lab.call(&["Ok"]).await, [abandoned("Ok")]);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(lab.lines("start").len(), 1);
    assert!(!lab.has_ended().await);
    lab.host.stop().await;
}

#[tokio::test]
async fn exit_1_fails_what_runs_and_the_third_ends_the_host() {
    let lab = Lab::start(LabOptions::default()).await;
    let mut settled = lab.call(&["Slow", "Exit1"]).await;
    settled.sort();
    assert_eq!(settled, [abandoned("Exit1"), abandoned("Slow")]);
    assert_eq!(lab.call(&["Ok"]).await, [completed("Ok")]);
    assert_eq!(lab.call(&["Exit1"]).await, [abandoned("Exit1")]);
    assert_eq!(lab.call(&["Ok"]).await, [completed("Ok")]);
    assert!(!lab.has_ended().await);
    lab.call(&["Exit1"]).await;
    assert!(lab.has_ended().await);
    let starts = lab.lines("start");
    assert_eq!(starts.len(), 3);
    assert!(starts.iter().all(|start| start.ends_with(starts[0].split(' ').nth(1).unwrap())), "one port: {starts:?}");
    let probes = lab.lines("request").iter().filter(|path| *path == "/").count();
    assert_eq!(probes, 3, "one probe for each start");
}

#[tokio::test]
async fn exit_200_is_free() {
    let lab = Lab::start(LabOptions::default()).await;
    for _ in 0..5 {
        assert_eq!(lab.call(&["Exit200"]).await, [abandoned("Exit200")]);
    }
    assert_eq!(lab.call(&["Ok"]).await, [completed("Ok")]);
    assert_eq!(lab.lines("start").len(), 6);
    lab.host.stop().await;
}

#[tokio::test]
async fn signals_from_outside_count_as_crashes() {
    let lab = Lab::start(LabOptions::default()).await;
    signal("-KILL", lab.until_started(1).await);
    signal("-TERM", lab.until_started(2).await);
    lab.until_started(3).await;
    assert!(!lab.has_ended().await);
    lab.call(&["Exit1"]).await;
    assert!(lab.has_ended().await);
}

#[tokio::test]
async fn a_call_that_takes_too_long_costs_the_process_and_every_other_call() {
    let lab = Lab::start(LabOptions { function_timeout: "00:00:01", ..LabOptions::default() }).await;
    let first = lab.until_started(1).await;
    let started = Instant::now();
    lab.source.push(message_to("Slow", "late"));
    let bystander = async {
        tokio::time::sleep(Duration::from_millis(2_600)).await;
        lab.source.push(message_to("Slow", "bystander"));
        lab.host.drain().await;
    };
    tokio::join!(lab.host.drain(), bystander);
    assert!(started.elapsed() >= Duration::from_secs(3), "two seconds after its time");
    assert!(started.elapsed() < Duration::from_millis(5_400), "the bystander's own time is not over");
    let mut settled = lab.source.settled();
    settled.sort();
    assert_eq!(settled, [abandoned("bystander"), abandoned("late")]);
    assert!(!is_alive(first));
    let second = lab.until_started(2).await;
    assert!(is_alive(second));
    lab.host.stop().await;
    assert!(!is_alive(second));
}

#[tokio::test]
async fn a_handler_that_never_listens_is_started_three_times() {
    let lab = Lab::start(LabOptions { mode: "never", hurry: 10, ..LabOptions::default() }).await;
    tokio::time::timeout(Duration::from_secs(20), lab.host.ended()).await.unwrap();
    assert_eq!(lab.lines("start").len(), 3);
}

#[tokio::test]
async fn a_handler_that_exits_at_start_is_started_three_times() {
    let lab = Lab::start(LabOptions { mode: "exit1", ..LabOptions::default() }).await;
    tokio::time::timeout(Duration::from_secs(20), lab.host.ended()).await.unwrap();
    assert_eq!(lab.lines("start").len(), 3);
}

#[tokio::test]
async fn calls_wait_for_a_handler_that_is_late() {
    let lab = Lab::start(LabOptions { mode: "late", ..LabOptions::default() }).await;
    assert_eq!(lab.call(&["Ok"]).await, [completed("Ok")]);
    assert_eq!(lab.lines("request"), ["/", "/Ok"]);
    lab.host.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_running_calls_and_kills_then() {
    let lab = Lab::start(LabOptions { pace: Pace::Wall, ..LabOptions::default() }).await;
    let handler = lab.until_started(1).await;
    lab.source.push(message_to("Wait", "running"));
    until(|| lab.lines("request").contains(&"/Wait".to_owned())).await;
    lab.host.stop().await;
    assert_eq!(lab.source.settled(), [completed("running")]);
    assert!(!is_alive(handler));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    assert!(is_meant("drain_limit"));
    let lab = Lab::start(LabOptions { pace: Pace::Wall, hurry: 20, ..LabOptions::default() }).await;
    let handler = lab.until_started(1).await;
    lab.source.push(message_to("Slow", "running"));
    until(|| lab.lines("request").contains(&"/Slow".to_owned())).await;
    let started = Instant::now();
    lab.host.stop().await;
    assert!(started.elapsed() >= Duration::from_millis(450), "ten seconds, hurried");
    assert!(lab.source.settled().iter().all(|(_, what)| *what != "completed"));
    assert!(!is_alive(handler));
}

#[tokio::test]
async fn isolated_functions_have_a_process_each() {
    let lab = Lab::start(LabOptions { isolate: true, ..LabOptions::default() }).await;
    assert!(lab.host.ready().await);
    assert_eq!(lab.host.handler_ports().count(), 6);
    assert_eq!(lab.lines("start").len(), 6);
    let mut settled = lab.call(&["Wait", "Exit200"]).await;
    settled.sort();
    assert_eq!(settled, [abandoned("Exit200"), completed("Wait")], "a crash next door is not felt");
    lab.host.stop().await;
}

/// A host in a process of its own, so that it can be killed.
#[tokio::test]
#[ignore = "is a host, not a test"]
async fn host_to_be_killed() {
    let Ok(record) = std::env::var("HOST_RECORD") else { return };
    let (mut options, _) = lab_options(&LabOptions::default(), &Scripted::with(Vec::new()));
    options.environment = vec![("HANDLER_RECORD".to_owned(), record)];
    let host = Host::start(options).await.unwrap();
    host.ready().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[tokio::test]
async fn a_host_that_is_killed_leaves_its_handler_as_an_orphan() {
    let record = directory().join("record.txt");
    let command = this_binary("host_to_be_killed");
    let mut host = Command::new(&command.program)
        .args(&command.arguments)
        .env("HOST_RECORD", &record)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    until(|| lines(&record, "request").contains(&"/".to_owned())).await;
    let handler = pid(&lines(&record, "start")[0]);
    host.kill().unwrap();
    host.wait().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(is_alive(handler));
    signal("-KILL", handler);
}

/// Every fact that was observed is held by a test or named as a difference.
#[test]
fn no_fact_is_forgotten() {
    const HELD: [&str; 5] = [
        // here
        "probe wait_for_ready never_listens exit_at_start exit_0 exit_1 exit_third exit_200 sigkill sigterm \
         function_timeout function_timeout_bystander drain host_sigkill",
        // host_launch.rs
        "env args cwd_stdio not_executable logs",
        // host_answers.rs
        "function_timeout_http",
        // host_messages.rs
        "concurrency keep_alive report_latency",
        // host_functions.rs
        "timer_overrun timer_failure retry_same_id route_order not_reachable bad_functions disabled extra_files",
    ];
    for fact in golden_json("process.json")["facts"].as_array().unwrap() {
        let id = fact["id"].as_str().unwrap();
        let held = HELD.iter().any(|ids| ids.split_whitespace().any(|held| held == id));
        assert!(held || is_meant(id), "{id}");
    }
}

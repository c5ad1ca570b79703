//! What the host gives its handler when it starts it, and what it makes of its lines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod host_support;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use host_support::lab::until_true as until;
use host_support::*;
use opsloop_embedded::host::{Host, HostOptions, LineLevel, Pace, SilentSink};
use serde_json::{Value, json};

fn scripted_handler(text: &str, executable: bool, description: Value) -> HostOptions {
    use std::os::unix::fs::PermissionsExt as _;
    let host_json = json!({"version": "2.0", "customHandler": {"description": description}});
    let mut options = options(&host_json, &[("Bus", bus_function(None, false))]);
    let path = options.script_root.join("handler");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 })).unwrap();
    options.sink = Arc::new(SilentSink);
    options.pace = Pace::Stepped;
    options
}

#[tokio::test]
async fn the_handler_inherits_everything_and_gets_the_variables_of_the_host() {
    let script = "env > env.tmp; pwd > pwd.txt; printf '%s\\n' \"$@\" > args.txt; mv env.tmp env.txt; exec sleep 600";
    let description = json!({
        "defaultExecutablePath": "handler", "arguments": ["--one", "two words", "%SET%", "%UNSET%"],
        "workerArguments": ["wa"],
    });
    let mut options = scripted_handler(script, true, description);
    options.settings.set("SET", "value");
    let root = options.script_root.clone();
    let host = Host::start(options).await.unwrap();
    until(|| root.join("env.txt").exists()).await;
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    assert_eq!(read("args.txt").lines().collect::<Vec<_>>(), ["--one", "two", "words", "value", "wa"]);
    assert_eq!(PathBuf::from(read("pwd.txt").trim()), std::fs::canonicalize(&root).unwrap());
    let text = read("env.txt");
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned);
    let of_the_shell = ["PWD", "OLDPWD", "SHLVL", "_", "SET"];
    let mut added: Vec<&str> = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    added.retain(|name| {
        name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
            && std::env::var_os(name).is_none()
            && !of_the_shell.contains(name)
    });
    added.sort_unstable();
    // The last two are set by `func start`, not by the host that was recorded.
    let mut wanted = vec![
        "FUNCTIONS_APP_ROOT_PATH",
        "FUNCTIONS_CUSTOMHANDLER_PORT",
        "FUNCTIONS_CUSTOMHANDLER_WORKER_ID",
        "FUNCTIONS_HTTPWORKER_ID",
        "FUNCTIONS_HTTPWORKER_PORT",
        "AZURE_FUNCTIONS_ENVIRONMENT",
        "WEBSITE_HOSTNAME",
    ];
    wanted.sort_unstable();
    assert_eq!(added, wanted);
    assert_eq!(value("FUNCTIONS_CUSTOMHANDLER_PORT"), value("FUNCTIONS_HTTPWORKER_PORT"));
    assert_eq!(value("FUNCTIONS_CUSTOMHANDLER_WORKER_ID"), value("FUNCTIONS_HTTPWORKER_ID"));
    assert_eq!(value("SET").as_deref(), Some("value"));
    host.stop().await;
}

#[tokio::test]
async fn a_file_that_is_not_executable_leaves_the_host_up_without_a_handler() {
    let options = scripted_handler("exec sleep 600", false, json!({"defaultExecutablePath": "handler"}));
    let host = Host::start(options).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(300), host.ended()).await.is_err());
    host.stop().await;
}

#[tokio::test]
async fn lines_of_the_handler_have_the_levels_of_the_host() {
    let script =
        "echo out; echo bad >&2; echo 'a Warning' >&2; echo 'LanguageWorkerConsoleLog warn' >&2; exec sleep 600";
    let mut options = scripted_handler(script, true, json!({"defaultExecutablePath": "handler"}));
    let kept = Arc::new(Lines::default());
    options.sink = Arc::clone(&kept) as _;
    let host = Host::start(options).await.unwrap();
    until(|| kept.0.lock().unwrap().len() == 4).await;
    let lines = kept.0.lock().unwrap().clone();
    for (level, text) in [
        (LineLevel::Information, "out"),
        (LineLevel::Error, "bad"),
        (LineLevel::Warning, "a Warning"),
        (LineLevel::Error, "LanguageWorkerConsoleLog warn"),
    ] {
        assert!(lines.contains(&(level, text.to_owned())), "{text}");
    }
    host.stop().await;
}

/// `setpriv` asks for the signal as our own handler does; to Linux the parent is the thread that started it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_asks_to_die_with_its_parent_is_not_killed_early() {
    if std::process::Command::new("setpriv").arg("--version").output().is_err() {
        return; // not everywhere; where it is, the test says something
    }
    let script = "echo started; exec setpriv --pdeathsig KILL sleep 600";
    let mut options = scripted_handler(script, true, json!({"defaultExecutablePath": "handler"}));
    let kept = Arc::new(Lines::default());
    options.sink = Arc::clone(&kept) as _;
    let host = Host::start(options).await.unwrap();
    until(|| kept.count("started") == 1).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(kept.count("started"), 1);
    host.stop().await;
}

//! Commands that look at a running platform, or at one decision.

use crate::{
    cli::say,
    loopback::{Answered, Loopback},
    settings::WorkerSettings,
    workers,
};
use serde_json::Value;
use std::{error::Error, path::Path, process::ExitCode};

type Outcome = Result<ExitCode, Box<dyn Error>>;

async fn dead_letters(url: &str) -> Result<Vec<Value>, Box<dyn Error>> {
    let answered = Loopback::new(None).get(&format!("{url}/v1/dead-letters")).await?;
    let list: Value = ok(answered)?.json()?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

fn ok(answered: Answered) -> Result<Answered, Box<dyn Error>> {
    match answered.status.is_success() {
        true => Ok(answered),
        false => Err(format!("{}: {}", answered.status, answered.text()).into()),
    }
}

pub async fn list_dead_letters(url: &str) -> Outcome {
    let items = dead_letters(url).await?;
    if items.is_empty() {
        say("no dead letters");
    }
    for item in &items {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let (id, handler, reason) = (text("id"), text("handler"), text("reason"));
        say(&format!("{id}  {handler:<28} {reason:<22} {:<14} {}", text("kind"), text("description")));
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn show_dead_letter(url: &str, id: &str) -> Outcome {
    match dead_letters(url).await?.into_iter().find(|i| i["id"] == id) {
        Some(item) => {
            say(&serde_json::to_string_pretty(&item)?);
            Ok(ExitCode::SUCCESS)
        }
        None => Err(format!("there is no dead letter {id}; `opsloop dead-letters list` shows all").into()),
    }
}

pub async fn replay_dead_letter(url: &str, id: &str) -> Outcome {
    let target = format!("{url}/v1/dead-letters/{id}/replay");
    ok(Loopback::new(None).send(http::Method::POST, &target, &[], bytes::Bytes::new()).await?)?;
    say(&format!("{id} is on its way to its handler again"));
    Ok(ExitCode::SUCCESS)
}

pub fn explain(worker: &str, case: &Path) -> Outcome {
    let catalogue = workers::catalogue(&WorkerSettings::default());
    let names: Vec<&str> = catalogue.workers().map(|w| w.spec().name).collect();
    let unknown = || format!("there is no worker {worker}; there are {}", names.join(", "));
    let found = catalogue.named(worker).ok_or_else(unknown)?;
    let text = std::fs::read_to_string(case).map_err(|e| format!("{}: {e}", case.display()))?;
    let case: Value = serde_json::from_str(&text)?;
    let decision = found.explain(&case)?;
    if let Some(about) = case["about"].as_str() {
        say(about);
    }
    let reason = decision["reason"].as_str().unwrap_or("halted");
    say(&format!("decided: {reason}\n{}", serde_json::to_string_pretty(&decision)?));
    let expected = &case["decision"];
    if !expected.is_null() && *expected != decision {
        return Err("this is not the decision that the case expects".into());
    }
    Ok(ExitCode::SUCCESS)
}

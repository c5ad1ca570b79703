//! What the environment may say, and what is wrong with it.

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const AZURE: [(&str, &str); 7] = [
    (PORT, "7080"),
    (NAMESPACE, "opsloop.servicebus.windows.net"),
    (COSMOS, "https://opsloop.documents.azure.com/"),
    (BLOBS, "https://opsloop.blob.core.windows.net/"),
    (VAULT, "https://opsloop.vault.azure.net/"),
    (CLIENT_ID, "00000000-1111-2222-3333-444444444444"),
    (REGION, "West Europe"),
];
const CHILD: [(&str, &str); 5] =
    [(PORT, "7080"), (DATA, "d"), (CONTROL_URL, "http://127.0.0.1:1"), (CONTROL_TOKEN, "t"), (PARENT, "7")];

#[test]
fn in_azure_everything_is_reached_by_a_managed_identity() {
    let settings = Settings::of(&environment(&AZURE)).unwrap();
    let Documents::Cosmos { database, region, .. } = &settings.documents else { panic!("no Cosmos DB") };
    assert_eq!((database.as_str(), region.as_deref()), ("opsloop", Some("West Europe")));
    let Messages::ServiceBus(address) = &settings.messages else { panic!("no Service Bus") };
    assert!(!address.is_emulator());
    assert!(matches!(&settings.payloads, Payloads::Blob { .. }));
    assert!(matches!(&settings.identity, Identity::Managed { client_id: Some(_) }));
    assert!(settings.parent.is_none() && settings.vault.is_some());
}

#[test]
fn a_child_of_local_keeps_to_its_parent_unless_it_is_told_otherwise() {
    let settings = Settings::of(&environment(&CHILD)).unwrap();
    assert_eq!((settings.messages, settings.identity), (Messages::Parent, Identity::Developer));
    assert_eq!(settings.documents, Documents::Embedded("d".into()));
    let mut told = environment(&CHILD);
    told.extend(environment(&[(CONNECTION, "Endpoint=sb://127.0.0.1:9;UseDevelopmentEmulator=true")]));
    assert!(matches!(Settings::of(&told).unwrap().messages, Messages::ServiceBus(a) if a.is_emulator()));
}

#[test]
fn every_problem_is_reported_at_once() {
    let Err(Problems(problems)) = Settings::of(&environment(&[
        (BUCKETS, "many"),
        (VAULT, "http://vault.example"),
        (INSIGHTS, "InstrumentationKey=secret"),
        (CONTROL_URL, "http://127.0.0.1:1"),
        (CONNECTION, "Endpoint=sb://x.servicebus.windows.net;SharedAccessKey=secret"),
    ])) else {
        panic!("nothing is set");
    };
    for name in [PORT, COSMOS, BLOBS, BUCKETS, VAULT, INSIGHTS, CONTROL_TOKEN, PARENT, CONNECTION] {
        assert!(problems.iter().any(|p| p.contains(name)), "{name}: {problems:#?}");
    }
    assert!(problems.iter().all(|p| !p.contains("secret")), "{problems:#?}");
}

#[test]
fn an_empty_value_is_none() {
    let mut emptied = environment(&CHILD);
    emptied.extend(environment(&[(COSMOS, ""), (INSIGHTS, " "), (CLIENT_ID, "")]));
    let settings = Settings::of(&emptied).unwrap();
    assert_eq!((settings.documents, settings.identity), (Documents::Embedded("d".into()), Identity::Developer));
}

#[test]
fn the_sample_has_every_setting_of_a_laptop_and_no_other() {
    let text = include_str!("../../../local.settings.sample.json");
    let sample: serde_json::Value = serde_json::from_str(text).unwrap();
    let local = KNOWN.iter().filter_map(|k| Some((k.name.to_owned(), k.local?.into())));
    assert_eq!(sample["Values"], serde_json::Value::Object(local.collect()));
    assert_eq!(sample["IsEncrypted"], false);
}

#[test]
fn the_readme_has_every_setting() {
    let readme = include_str!("../../../README.md");
    for known in KNOWN {
        let row = format!("| `{}` | {} |", known.name, known.is);
        assert!(readme.contains(&row), "README.md lacks this row of its table of settings:\n{row}");
    }
}

//! Microsoft's Python client reads what the adapter wrote. `tests/clients/cosmos.sh` installs it and runs this.

use opsloop_embedded::clock::VirtualClock;
use opsloop_kernel::{Commit, Container, Document, Store, Stream, TenantId, Timestamp, Write};
use opsloop_tests::cosmos::cosmos_host;
use serde_json::{Value, json};
use std::{process::Command, sync::Arc};

const NOW: Timestamp = Timestamp::from_millis(1_795_255_200_000);

async fn write(database: &str) {
    let store = cosmos_host().store(database, Arc::new(VirtualClock::at(NOW)));
    let due =
        |id: &str| Write::Put(Document::new(id, "test", &json!({ "n": [0.1, 2.0], "ä": "=" })).due("Alerts", NOW));
    for (tenant, stream) in [("globex", "rules"), ("acme", "slos"), ("acme", "rules")] {
        let (tenant, stream) = (TenantId::parse(tenant).unwrap(), Stream::new(Container::State, stream));
        let plain = Write::Put(Document::new("a|2", "test", &json!({})));
        let commit = Commit { tenant, stream, marker: None, writes: vec![due("a|1"), plain, due("b")] };
        store.commit(&commit).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs azure-cosmos for Python: tests/clients/cosmos.sh"]
async fn the_python_client_reads_what_the_adapter_wrote() {
    let database = cosmos_host().database();
    write(&database).await;
    let python = std::env::var("OPSLOOP_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/cosmos_read.py");
    let output = Command::new(python).arg(script).args([&cosmos_host().endpoint(), &database]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shard = read["document"]["due"]["shard"].clone();
    let expected = json!({
        "document": {
            "id": "a|1", "tenantId": "acme", "stream": "rules", "kind": "test", "v": 1,
            "due": { "what": "Alerts", "at": "2026-11-21T10:00:00.000Z", "shard": shard,
                "key": "acme rules 1795255200000 a|1" },
            "body": { "n": [0.1, "=2"], "ä": "==" },
        },
        "ids": ["a|2", "a|1"],
        "due": ["acme rules 1795255200000 a|1", "acme rules 1795255200000 b", "acme slos 1795255200000 a|1",
            "acme slos 1795255200000 b", "globex rules 1795255200000 a|1", "globex rules 1795255200000 b"],
    });
    assert_eq!(read, expected);
}

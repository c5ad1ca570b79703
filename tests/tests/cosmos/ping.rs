//! What `ping` says, before the first message needs the store.

use super::bed::*;
use opsloop_azure::cosmos::{CosmosStore, Trouble};
use opsloop_tests::cosmos::cosmos_host;
use serde_json::json;

#[tokio::test]
async fn a_store_that_can_be_used_says_so_and_nothing_is_written() {
    let bed = Bed::new();
    assert_eq!(bed.store.ping().await, Ok(()));
    assert!(bed.all().await.is_empty());
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let store = cosmos_host().store("nowhere", Bed::new().clock);
    let missing = store.ping().await.unwrap_err();
    assert!(matches!(&missing, Trouble::Missing { database, .. } if database == "nowhere"), "{missing:?}");
    assert!(missing.to_string().contains("`nowhere`") && missing.to_string().contains("bicep/"), "{missing}");
}

#[tokio::test]
async fn who_lacks_the_role_is_told_which() {
    let bed = Bed::ready().await;
    bed.fault(json!({ "status": 403, "subStatus": 5301 }));
    let forbidden = bed.store.ping().await.unwrap_err().to_string();
    assert!(forbidden.contains("Cosmos DB Built-in Data Contributor"), "{forbidden}");
    bed.mend();
    bed.fault(json!({ "status": 401 }));
    let unknown = bed.store.ping().await.unwrap_err();
    assert!(matches!(unknown, Trouble::Unauthorized { .. }), "{unknown:?}");
    bed.mend();
    assert_eq!(bed.store.ping().await, Ok(()));
}

#[tokio::test]
async fn an_endpoint_where_nobody_listens_is_named() {
    let bed = Bed::new();
    let mut options = cosmos_host().options(&bed.database, bed.clock.clone());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    options.endpoint = format!("http://{closed}/").parse().unwrap();
    let nobody = CosmosStore::new(options).ping().await.unwrap_err();
    assert!(matches!(&nobody, Trouble::Unreachable { at, .. } if at.contains(&closed.to_string())), "{nobody:?}");
}

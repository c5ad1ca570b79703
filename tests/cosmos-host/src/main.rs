//! Cosmos DB for tests, over a real socket: Microsoft's own emulator core, which ships inside the SDK's driver, behind axum.
//!
//! The core lacks what this host adds: faults on demand, a log of the requests, and documents that expire. The database
//! and its containers are there when the line `READY <endpoint>` is printed; more databases of the same containers are made
//! by `POST /_databases/<name>`, so that tests share nothing. The host ends when its standard input is closed.
//! Known to be milder than the service: tokens are not verified, ids are hardly checked, batches are never throttled.

mod account;
mod admin;
mod expiry;
mod faults;
mod front;

use account::{Account, Layout};
use clap::Parser;
use std::{error::Error, io::Read, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// Between two sweeps of what has expired.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

#[derive(Parser)]
struct Arguments {
    /// On 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    #[arg(long, default_value = "opsloop")]
    database: String,
    /// Names, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "state,telemetry,metrics")]
    containers: Vec<String>,
    /// The paths of the hierarchical partition key, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "/tenantId,/stream")]
    key: Vec<String>,
    /// Nothing expires but by `POST /_expire/<database>?ahead=<seconds>`.
    #[arg(long)]
    expire_on_demand: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, arguments.port)).await?;
    let endpoint = format!("http://{}/", listener.local_addr()?);
    let layout = Layout { containers: arguments.containers, key: arguments.key };
    let account = Arc::new(Account::open(&endpoint, layout)?);
    account.create_database(&arguments.database).await?;
    if !arguments.expire_on_demand {
        tokio::spawn(sweep(account.clone()));
    }
    std::thread::spawn(end_with_the_parent);
    println!("READY {endpoint}");
    axum::serve(listener, front::router(account)).await?;
    Ok(())
}

async fn sweep(account: Arc<Account>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        if let Err(why) = expiry::sweep(&account, None, 0).await {
            eprintln!("what has expired could not be removed: {why}");
        }
    }
}

/// Whoever started the host holds the other end of its standard input, also when killed.
fn end_with_the_parent() {
    let mut rest = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut rest);
    std::process::exit(0);
}

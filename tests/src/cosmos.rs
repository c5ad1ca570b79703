//! Cosmos DB for tests: the host of `tests/cosmos-host`, built and started once per test binary, and stores that use it
//! with Microsoft's SDK over a real socket.

use opsloop_azure::{
    cosmos::{CosmosOptions, CosmosStore},
    identity::Identity,
};
use opsloop_kernel::{Clock, Container, Note, ports::Recorder};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The host of this test binary. It ends with the binary: its standard input is closed then.
pub fn cosmos_host() -> &'static CosmosHost {
    static HOST: OnceLock<CosmosHost> = OnceLock::new();
    HOST.get_or_init(CosmosHost::start)
}

pub struct CosmosHost {
    /// `127.0.0.1:<port>`
    address: String,
    databases: AtomicU32,
    process: Mutex<Child>,
}

impl Drop for CosmosHost {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap();
        let _ = process.kill();
        let _ = process.wait();
    }
}

impl CosmosHost {
    /// One of its own, for a test that stops it.
    pub fn start() -> Self {
        let containers = Container::ALL.map(Container::name).join(",");
        let mut process = Command::new(built())
            .args(["--expire-on-demand", "--containers", &containers])
            .args(["--key", &opsloop_azure::cosmos::PARTITION_KEY.join(",")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoint = line.trim().strip_prefix("READY http://").expect("the host says that it is ready");
        let address = endpoint.trim_end_matches('/').to_owned();
        Self { address, databases: AtomicU32::new(0), process: Mutex::new(process) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// A database of its own, so that tests share nothing.
    pub fn database(&self) -> String {
        let name = format!("opsloop-{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.ask("POST", &format!("/_databases/{name}"), "");
        name
    }

    pub fn options(&self, database: &str, clock: Arc<dyn Clock>) -> CosmosOptions {
        CosmosOptions {
            endpoint: self.endpoint().parse().unwrap(),
            database: database.to_owned(),
            credential: Identity::Loopback.credential().unwrap(),
            clock,
            recorder: Arc::new(Recorded::default()),
            region: None,
        }
    }

    pub fn store(&self, database: &str, clock: Arc<dyn Clock>) -> CosmosStore {
        CosmosStore::new(self.options(database, clock))
    }

    /// As `tests/cosmos-host/src/faults.rs` says.
    pub fn fault(&self, fault: &Value) {
        self.ask("POST", "/_faults", &fault.to_string());
    }
    /// Of one database: the requests of other tests go on undisturbed.
    pub fn mend(&self, database: &str) {
        self.ask("DELETE", &format!("/_faults?of={database}"), "");
    }
    /// The requests so far that touched documents of a database.
    pub fn requests(&self, database: &str) -> Vec<Value> {
        let log: Vec<Value> = serde_json::from_str(&self.ask("GET", "/_log", "")).unwrap();
        let its = format!("/dbs/{database}/");
        log.into_iter().filter(|r| r["path"].as_str().unwrap().starts_with(&its)).collect()
    }
    /// Removes what the service would have removed in so many seconds.
    pub fn expire(&self, database: &str, ahead_seconds: i64) {
        self.ask("POST", &format!("/_expire/{database}?ahead={ahead_seconds}"), "");
    }
    /// The documents of a container as they are kept.
    pub fn documents(&self, database: &str, container: Container) -> Vec<Value> {
        let answer = self.ask("GET", &format!("/dbs/{database}/colls/{}/docs", container.name()), "");
        let mut page: Value = serde_json::from_str(&answer).unwrap();
        serde_json::from_value(page["Documents"].take()).unwrap()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        write!(socket, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
        body.to_owned()
    }
}

/// The signals that a store has recorded.
#[derive(Default)]
pub struct Recorded(Mutex<Vec<Note>>);
impl Recorded {
    pub fn notes(&self) -> Vec<Note> {
        self.0.lock().unwrap().clone()
    }
}
impl Recorder for Recorded {
    fn record(&self, _: &str, note: &Note) {
        self.0.lock().unwrap().push(note.clone());
    }
}

/// Builds the host; a second build of the same sources takes no time, and builds at once wait for each other.
fn built() -> std::path::PathBuf {
    let target = Path::new(ROOT).join("target/cosmos-host");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--manifest-path", "tests/cosmos-host/Cargo.toml", "--target-dir"])
        .arg(&target)
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(output.status.success(), "the host does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    target.join("debug/cosmos-host")
}

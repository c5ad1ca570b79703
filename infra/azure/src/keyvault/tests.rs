//! The SDK's client against a stand-in of Key Vault: its challenge, and every way in which it does not answer.

use super::*;
use crate::standin::{Answer, Seen, StandIn, TOKEN, Tokens};
use opsloop_embedded::clock::VirtualClock;
use opsloop_kernel::{Fault, Timestamp};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

const START: Timestamp = Timestamp::from_millis(1_795_255_200_000);
const VAULT_URI: &str = "https://kv-ops.vault.azure.net/";
const CHALLENGE: &str =
    r#"Bearer authorization="https://login.microsoftonline.com/a-tenant", resource="https://vault.azure.net""#;
const DB: &str = "keyvault:db";
const UNAVAILABLE: Option<Fault> = Some(Fault::Unavailable { dependency: VAULT });

struct Bed {
    standin: StandIn,
    tokens: Arc<Tokens>,
    clock: Arc<VirtualClock>,
    secrets: Secrets,
}

impl Bed {
    /// Asks the script only with a token; the number is of the questions that had one.
    async fn start(script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        let questions = AtomicUsize::new(0);
        let bearer = format!("Bearer {TOKEN}");
        Self::bare(move |seen, _| match seen.header("authorization") {
            None => Answer::status(401).with("www-authenticate", CHALLENGE),
            Some(given) if given == bearer => script(seen, questions.fetch_add(1, Ordering::SeqCst)),
            Some(_) => Answer::status(401),
        })
        .await
    }

    async fn bare(script: impl Fn(&Seen, usize) -> Answer + Send + Sync + 'static) -> Self {
        let standin = StandIn::start(script).await;
        let (tokens, clock) = (Arc::new(Tokens::default()), Arc::new(VirtualClock::at(START)));
        let vault = Url::parse(VAULT_URI).unwrap();
        let options = Options { vault, credential: tokens.clone(), clock: clock.clone() };
        let secrets = Secrets::over(options, standin.lead(rest::client_options())).unwrap();
        Self { standin, tokens, clock, secrets }
    }

    fn later(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Requests that had a token.
    fn questions(&self) -> usize {
        self.standin.seen().iter().filter(|seen| seen.header("authorization").is_some()).count()
    }
}

fn value(text: &str) -> Answer {
    let id = format!("{VAULT_URI}secrets/db/0a");
    let body = json!({"value": text, "id": id, "attributes": {"enabled": true}}).to_string();
    Answer::status(200).with("content-type", "application/json").body(body)
}

/// The value of the nth question.
fn nth(_: &Seen, n: usize) -> Answer {
    value(&format!("value-{n}"))
}

fn refused(status: u16, code: &str, inner: Option<&str>) -> Answer {
    let body = json!({"error": {"code": code, "message": "no", "innererror": inner.map(|code| json!({"code": code}))}});
    Answer::status(status).with("content-type", "application/json").body(body.to_string())
}

fn seen(found: Result<Secret, SecretError>) -> String {
    found.map_or_else(|error| error.code().to_owned(), |secret| secret.expose().to_owned())
}

#[tokio::test]
async fn the_first_question_is_challenged_and_the_token_is_for_what_the_challenge_says() {
    let bed = Bed::start(nth).await;
    assert!(bed.standin.seen().is_empty(), "nothing is sent before it is used");
    assert_eq!(seen(bed.secrets.resolve("keyvault:db/0a1b").await), "value-0");
    let requests = bed.standin.seen();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].header("authorization").is_none());
    assert!(requests[1].url.starts_with(&format!("{VAULT_URI}secrets/db/0a1b?api-version=")), "{}", requests[1].url);
    assert_eq!(bed.tokens.scopes(), ["https://vault.azure.net/.default"]);
    // The challenge is remembered, and so is the token.
    let other = format!("@Microsoft.KeyVault(SecretUri={VAULT_URI}secrets/other)");
    assert_eq!(seen(bed.secrets.resolve(&other).await), "value-1");
    assert_eq!((bed.standin.seen().len(), bed.tokens.scopes().len()), (3, 1));
}

#[tokio::test]
async fn a_challenge_for_another_domain_gets_no_token() {
    for challenge in [
        r#"Bearer authorization="https://login.example.com/t", resource="https://vault.example.com""#,
        r#"Bearer authorization="https://login.example.com/t", scope="https://storage.azure.com/.default""#,
    ] {
        let bed = Bed::bare(move |_, _| Answer::status(401).with("www-authenticate", challenge)).await;
        let error = bed.secrets.resolve(DB).await.unwrap_err();
        assert_eq!(error.fault(), UNAVAILABLE);
        assert!(error.to_string().contains("doesn't match the requested domain"), "{error}");
        assert!(bed.tokens.scopes().is_empty());
        assert_eq!(bed.questions(), 0);
    }
}

#[derive(Debug)]
struct NoIdentity;

#[async_trait::async_trait]
impl TokenCredential for NoIdentity {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<azure_core::credentials::TokenRequestOptions<'_>>,
    ) -> azure_core::Result<azure_core::credentials::AccessToken> {
        Err(azure_core::Error::with_message(ErrorKind::Credential, "no identity is assigned"))
    }
}

#[tokio::test]
async fn without_an_identity_the_error_says_so_and_what_to_check() {
    let bed = Bed::start(nth).await;
    let (vault, clock) = (Url::parse(VAULT_URI).unwrap(), bed.clock.clone());
    let options = Options { vault, credential: Arc::new(NoIdentity), clock };
    let secrets = Secrets::over(options, bed.standin.lead(rest::client_options())).unwrap();
    let error = secrets.resolve(DB).await.unwrap_err();
    assert_eq!(error.fault(), UNAVAILABLE);
    let told = error.to_string();
    assert!(told.contains("no token for it: no identity is assigned") && told.contains("AZURE_CLIENT_ID"), "{told}");
    assert_eq!(bed.standin.seen().len(), 1, "the question that was challenged");
}

#[tokio::test]
async fn a_hundred_who_want_one_secret_ask_once() {
    let bed = Bed::start(nth).await;
    let all = futures::future::join_all((0..100).map(|_| bed.secrets.resolve(DB))).await;
    assert!(all.into_iter().all(|found| seen(found) == "value-0"));
    assert_eq!(bed.questions(), 1);
}

#[tokio::test]
async fn a_rotation_is_noticed_after_five_minutes() {
    let bed = Bed::start(nth).await;
    assert_eq!(seen(bed.secrets.resolve(DB).await), "value-0");
    bed.later(299);
    assert_eq!(seen(bed.secrets.resolve(DB).await), "value-0");
    bed.later(1);
    assert_eq!(seen(bed.secrets.resolve(DB).await), "value-1");
    assert_eq!(bed.questions(), 2);
}

#[tokio::test]
async fn a_refresh_asks_at_once_but_not_again_within_thirty_seconds() {
    let bed = Bed::start(nth).await;
    assert_eq!(seen(bed.secrets.resolve(DB).await), "value-0");
    bed.later(30);
    let all = futures::future::join_all((0..10).map(|_| bed.secrets.refresh(DB))).await;
    assert!(all.into_iter().all(|found| seen(found) == "value-1"));
    bed.later(29);
    assert_eq!(seen(bed.secrets.refresh(DB).await), "value-1");
    bed.later(1);
    assert_eq!(seen(bed.secrets.refresh(DB).await), "value-2");
    assert_eq!(bed.questions(), 3);
}

#[tokio::test]
async fn while_the_vault_is_down_an_older_value_is_served_for_a_day() {
    let bed = Bed::start(|seen, n| if n == 0 { nth(seen, n) } else { Answer::status(400) }).await;
    assert_eq!(seen(bed.secrets.resolve(DB).await), "value-0");
    bed.later(300);
    for _ in 0..5 {
        assert_eq!(seen(bed.secrets.resolve(DB).await), "value-0");
    }
    assert_eq!(bed.questions(), 2, "who is down is asked every 30 s, not by each caller");
    bed.later(24 * 3600 - 301);
    assert_eq!(seen(bed.secrets.resolve(DB).await), "value-0");
    bed.later(1);
    let error = bed.secrets.resolve(DB).await.unwrap_err();
    assert_eq!((error.code(), error.fault()), ("vault_unavailable", UNAVAILABLE));
}

#[tokio::test]
async fn a_vault_that_is_down_from_the_start_is_a_fault_and_recovers() {
    let is_down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let down = is_down.clone();
    let bed = Bed::bare(move |seen, n| match (down.load(Ordering::SeqCst), seen.header("authorization")) {
        (true, _) => Answer::HangUp,
        (false, None) => Answer::status(401).with("www-authenticate", CHALLENGE),
        (false, Some(_)) => nth(seen, n),
    })
    .await;
    let error = bed.secrets.resolve(DB).await.unwrap_err();
    assert_eq!(error.fault(), UNAVAILABLE);
    assert!(error.to_string().contains("could not be reached") && error.to_string().contains("KEY_VAULT_URI"));
    assert_eq!(bed.standin.seen().len(), 3, "three tries");
    is_down.store(false, Ordering::SeqCst);
    bed.later(1);
    assert!(bed.secrets.resolve(DB).await.is_ok());
}

#[tokio::test]
async fn a_busy_vault_is_left_alone_for_as_long_as_it_asks() {
    let bed = Bed::start(|seen, n| match n {
        0 => Answer::status(429).with("retry-after", "60"),
        _ => nth(seen, n),
    })
    .await;
    let throttled = Some(Fault::Throttled { retry_after: Duration::from_secs(60) });
    for after in [0, 59] {
        bed.later(after);
        assert_eq!(bed.secrets.resolve(DB).await.unwrap_err().fault(), throttled);
    }
    bed.later(1);
    assert_eq!(seen(bed.secrets.resolve(DB).await), "value-1");
}

#[tokio::test]
async fn a_vault_that_says_nothing_is_given_up_at_the_deadline() {
    let bed = Bed::bare(|_, _| Answer::Silence).await;
    let waiting = async {
        bed.standin.has_seen(1).await;
        bed.clock.advance(DEADLINE);
    };
    let (found, ()) = futures::join!(bed.secrets.resolve(DB), waiting);
    assert_eq!(found.unwrap_err().fault(), Some(Fault::TimedOut { dependency: VAULT }));
}

#[tokio::test]
async fn missing_and_forbidden_are_said_as_such_and_not_asked_for_thirty_seconds() {
    for (answer, code, says) in [
        ((404, "SecretNotFound", None), "secret_missing", "create it there"),
        ((403, "Forbidden", Some("ForbiddenByRbac")), "secret_forbidden", "the role “Key Vault Secrets User”"),
        ((403, "Forbidden", Some("ForbiddenByFirewall")), "secret_forbidden", "network rules"),
        ((403, "Forbidden", Some("SecretDisabled")), "secret_forbidden", "it is disabled"),
    ] {
        let (status, outer, inner) = answer;
        let bed = Bed::start(move |seen, n| match n {
            // What the vault itself takes back is not served from memory.
            0 | 2 => nth(seen, n),
            _ => refused(status, outer, inner),
        })
        .await;
        assert_eq!(seen(bed.secrets.resolve(DB).await), "value-0");
        bed.later(300);
        let error = bed.secrets.resolve(DB).await.unwrap_err();
        assert_eq!((error.code(), error.fault()), (code, None));
        assert!(error.to_string().contains(says), "{error}");
        bed.later(29);
        assert_eq!(bed.secrets.resolve(DB).await, Err(error));
        bed.later(1);
        assert_eq!(seen(bed.secrets.resolve(DB).await), "value-2");
        assert_eq!(bed.questions(), 3);
    }
}

#[tokio::test]
async fn a_reference_to_another_vault_is_refused_before_anything_is_sent() {
    let bed = Bed::start(nth).await;
    let elsewhere = "@Microsoft.KeyVault(SecretUri=https://kv-other.vault.azure.net/secrets/db)";
    for reference in [elsewhere, "hunter2"] {
        assert_eq!(bed.secrets.resolve(reference).await.unwrap_err().code(), "secret_reference");
        assert_eq!(bed.secrets.refresh(reference).await.unwrap_err().code(), "secret_reference");
    }
    assert!(bed.standin.seen().is_empty() && bed.tokens.scopes().is_empty());
    let options = |vault: &str| Options {
        vault: Url::parse(vault).unwrap(),
        credential: bed.tokens.clone(),
        clock: bed.clock.clone(),
    };
    assert!(Secrets::new(options("http://kv-ops.vault.azure.net/")).is_err());
}

#[tokio::test]
async fn a_ping_reads_no_secret_and_says_what_is_missing() {
    let bed = Bed::start(|_, _| refused(404, "SecretNotFound", None)).await;
    assert_eq!(bed.secrets.ping().await, Ok(()));
    assert!(bed.standin.seen()[1].url.contains("/secrets/opsloop-ping"));
    let bed = Bed::start(|_, _| refused(403, "Forbidden", Some("ForbiddenByRbac"))).await;
    let told = bed.secrets.ping().await.unwrap_err().to_string();
    assert!(told.contains("ForbiddenByRbac") && told.contains("“Key Vault Secrets User”"), "{told}");
}

#[tokio::test]
async fn a_secret_is_in_no_text_whatever_happens() {
    const HIDDEN: &str = "hunter2-hunter2";
    let log: Arc<Shortly<Vec<u8>>> = Arc::default();
    let written = log.clone();
    let writer = move || Writer(written.clone());
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(writer).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let bed = Bed::start(|_, n| match n {
        0 => value(HIDDEN),
        1 => Answer::status(400).body(json!({"error": {"code": "BadParameter", "message": HIDDEN}}).to_string()),
        // Cannot be read: serde would repeat the text.
        _ => Answer::status(200).body(json!({"value": HIDDEN, "attributes": HIDDEN}).to_string()),
    })
    .await;
    let secret = bed.secrets.resolve(DB).await.unwrap();
    let shown = format!("{secret:?} {secret} {} {:?}", json!({"value": secret}), Ok::<_, SecretError>(secret.clone()));
    assert_eq!(shown, r#"[redacted] [redacted] {"value":"[redacted]"} Ok([redacted])"#);
    assert_eq!(secret, Secret::new(HIDDEN.into()));
    assert_ne!(secret, Secret::new("other".into()));
    bed.later(300);
    assert!(bed.secrets.resolve(DB).await.is_ok(), "an older value, and a warning");
    for reference in ["keyvault:unreadable", HIDDEN] {
        let error = bed.secrets.resolve(reference).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let log = String::from_utf8(log.lock().unwrap().clone()).unwrap();
    assert!(log.contains("an older value is served"), "{log}");
    assert!(!log.contains("hunter2") && !log.contains(TOKEN), "{log}");
}

struct Writer(Arc<Shortly<Vec<u8>>>);
impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

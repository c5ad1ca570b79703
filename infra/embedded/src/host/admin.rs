//! `/admin`: running a function by hand, and the host's own state. No key is asked for, as under the func CLI.

use super::bus;
use super::core::Core;
use super::front::{After, Client};
use super::function::Trigger;
use super::timer::{Due, Why};
use super::value::Value;

const INPUT_BYTES_MAX: usize = 1024 * 1024;
const FUNCTIONS: &str = "/admin/functions/";

pub(super) async fn respond(core: &Core, client: &mut Client<'_>) -> After {
    let name = client.path.behind(FUNCTIONS).map(str::to_owned);
    match (client.head.method.as_str(), name) {
        ("POST", Some(name)) => run(core, client, &name).await,
        ("GET", None) if client.path.behind("/admin/host/ping").is_some() => client.answer(core, 200, "").await,
        ("GET", None) if client.path.behind("/admin/host/status").is_some() => {
            client.answer(core, 200, &status()).await
        }
        _ => client.answer(core, 404, "").await,
    }
}

fn status() -> String {
    let version = Value::text(super::request::HOST_VERSION);
    Value::object([("state", Value::text("Running")), ("version", version.clone()), ("versionDetails", version)])
        .to_json()
}

/// 202 says that it was started; here it is also over. A function of HTTP is not called.
async fn run(core: &Core, client: &mut Client<'_>, name: &str) -> After {
    let Some(function) = core.function(name) else { return client.answer(core, 404, "").await };
    let body = match client.conn.read_all(client.body, INPUT_BYTES_MAX).await {
        Ok(body) if !body.is_empty() => body,
        Ok(_) => return client.answer(core, 400, "").await,
        Err(_) => return After::Close,
    };
    let Some(Value::Object(members)) = std::str::from_utf8(&body).ok().and_then(Value::parse) else {
        return client.answer(core, 400, "").await;
    };
    let input = members.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("input")).map(|(_, value)| value);
    match &function.trigger {
        Trigger::Http(_) => {}
        Trigger::Timer(_) => {
            let due = Due { function: function.name.clone(), why: Why::Admin };
            core.run_timer(&due, core.clock.now()).await;
        }
        Trigger::Bus(trigger) => {
            let text = match input {
                Some(Value::String(text)) => text,
                Some(other) => other.to_json(),
                None => String::new(),
            };
            core.call_with(function, trigger, bus::by_hand(text, core.clock.now())).await;
        }
    }
    client.answer(core, 202, "").await
}

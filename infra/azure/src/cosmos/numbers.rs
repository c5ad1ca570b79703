//! Numbers that Cosmos DB would not give back as they were. It knows doubles only: an integer beyond 2^53 loses digits, and
//! `1.0` may come back as `1`. Such a number is kept as text with `=` before it; a text that begins with `=` gets one more.
//!
//! Of a small double with an integral value the text has no `.0` (`=1` is 1.0), for most doubles of metrics are of that sort
//! and a document has its limit. It cannot be taken for an integer: those below 10^15 need no text.

use serde_json::{Number, Value};

const MARK: char = '=';
/// Integers below it are exact in a double, and every writer of JSON gives them without an exponent.
const PLAIN_BELOW: u64 = 1_000_000_000_000_000;

/// The body as it is kept.
pub(super) fn kept(body: &Value) -> Value {
    match body {
        Value::Number(number) => of_number(number),
        Value::String(text) if text.starts_with(MARK) => Value::String(format!("{MARK}{text}")),
        Value::Array(items) => items.iter().map(kept).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), kept(value))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => body.clone(),
    }
}

/// The body as it was, or the text that is no number.
pub(super) fn restored(kept: Value) -> Result<Value, String> {
    Ok(match kept {
        Value::String(text) => match text.strip_prefix(MARK) {
            Some(rest) if rest.starts_with(MARK) => Value::String(rest.to_owned()),
            Some(rest) => Value::Number(number_of(rest).ok_or(text)?),
            None => Value::String(text),
        },
        Value::Array(items) => Value::Array(items.into_iter().map(restored).collect::<Result<_, _>>()?),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| Ok((name, restored(value)?)));
            Value::Object(fields.collect::<Result<_, String>>()?)
        }
        plain => plain,
    })
}

fn of_number(number: &Number) -> Value {
    let is_small = number.as_f64().is_some_and(|double| double.abs() < PLAIN_BELOW as f64);
    let has_fraction = number.is_f64() && number.as_f64().is_some_and(|double| double.fract() != 0.0);
    if has_fraction || (is_small && !number.is_f64()) {
        return Value::Number(number.clone());
    }
    let text = number.to_string();
    let shown = if is_small { text.strip_suffix(".0").unwrap_or(&text) } else { &text };
    Value::String(format!("{MARK}{shown}"))
}

fn number_of(text: &str) -> Option<Number> {
    if let Ok(signed) = text.parse::<i64>()
        && signed.unsigned_abs() >= PLAIN_BELOW
    {
        return Some(signed.into());
    }
    match text.parse::<u64>() {
        Ok(unsigned) if unsigned >= PLAIN_BELOW => Some(unsigned.into()),
        _ => Number::from_f64(text.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_number_comes_back_as_it_was() {
        let doubles = [
            0.0,
            -0.0,
            1.0,
            -7.0,
            0.1,
            1e15,
            123456789012345678.0,
            1e300,
            -1e-300,
            f64::MAX,
            5e-324,
            999999999999999.0,
        ];
        let integers =
            [0, 1, -1, 999_999_999_999_999, 1_000_000_000_000_000, -1_000_000_000_000_000, i64::MIN, i64::MAX];
        let body = json!({ "d": doubles, "i": integers, "u": [u64::MAX], "t": ["=", "==1", "=1", "", "1.0", "a=b"], "n": null });
        let there = kept(&body);
        let text = serde_json::to_string(&there).unwrap();
        let back = restored(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(back.to_string(), body.to_string());
        assert_eq!(back, body);
    }

    #[test]
    fn what_is_kept_survives_a_reader_that_knows_doubles_only() {
        let body = json!([1, 1.0, 2.5, u64::MAX, -0.0, 1e20, 1_795_255_200_000_000_000_i64]);
        assert_eq!(
            kept(&body),
            json!([1, "=1", 2.5, "=18446744073709551615", "=-0", "=1e+20", "=1795255200000000000"])
        );
    }

    #[test]
    fn a_text_that_nobody_wrote_is_not_guessed_at() {
        assert_eq!(restored(json!({"a": ["=one"]})), Err("=one".to_owned()));
        assert_eq!(restored(json!("=NaN")), Err("=NaN".to_owned()));
    }
}

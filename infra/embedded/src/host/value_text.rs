//! How .NET and Newtonsoft.Json write numbers, strings and dates.

use std::fmt::Write as _;

use jiff::civil::DateTime;

use super::value::Zone;

/// A JSON string as Newtonsoft writes it: non-ASCII as it is, control characters and the three line separators escaped.
pub(super) fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => push_escape(out, letter),
            _ => out.push(letter),
        }
    }
    out.push('"');
}

fn push_escape(out: &mut String, letter: char) {
    out.push_str("\\u");
    let code = u32::from(letter);
    for shift in [12, 8, 4, 0] {
        out.push(char::from_digit((code >> shift) & 0xf, 16).unwrap_or('0'));
    }
}

/// `double.ToString`, invariant culture.
pub(super) fn double_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    shortest(&format!("{number:e}"), 15)
}

fn float_text(number: f32) -> String {
    if number.is_nan() || number.is_infinite() {
        return double_text(f64::from(number));
    }
    shortest(&format!("{number:e}"), 7)
}

/// Rust's `{:e}` has the shortest digits that round-trip, as .NET has; only the layout differs: .NET turns to exponents
/// below 1E-05 and from `plain_digits` digits up, with at least two digits.
fn shortest(scientific: &str, plain_digits: i32) -> String {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    if exponent < -5 || exponent >= plain_digits {
        let direction = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}E{direction}{:02}", exponent.abs());
    }
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let point = usize::try_from(exponent + 1);
    match point {
        Ok(0) => format!("{sign}0.{digits}"),
        Ok(point) if point >= digits.len() => format!("{sign}{digits}{}", "0".repeat(point - digits.len())),
        Ok(point) => format!("{sign}{}.{}", &digits[..point], &digits[point..]),
        Err(_) => format!("{sign}0.{}{digits}", "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0))),
    }
}

/// Newtonsoft marks a whole double with `.0` and puts what is not a number into a string.
fn as_json(text: String, finite: bool) -> String {
    if !finite {
        return format!("\"{text}\"");
    }
    if text.contains(['.', 'E']) { text } else { format!("{text}.0") }
}

pub(super) fn double_json(number: f64) -> String {
    as_json(double_text(number), number.is_finite())
}

pub(super) fn float_json(number: f32) -> String {
    as_json(float_text(number), number.is_finite())
}

/// Directly in Data or Metadata a date has neither fraction nor `Z` (only a DateTimeOffset keeps its offset).
pub(super) fn write_date(at: DateTime, zone: Zone, inside: bool) -> String {
    let mut out = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    );
    if inside {
        push_fraction(&mut out, at);
    }
    match zone {
        Zone::Utc if inside => out.push('Z'),
        Zone::Unspecified | Zone::Utc => {}
        Zone::Offset(minutes) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            // Writing to a String cannot fail.
            let _ = write!(out, "{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60);
        }
    }
    out
}

/// Seven digits at most (100 ns), without trailing zeros.
fn push_fraction(out: &mut String, at: DateTime) {
    let ticks = at.subsec_nanosecond() / 100;
    if ticks > 0 {
        out.push('.');
        out.push_str(format!("{ticks:07}").trim_end_matches('0'));
    }
}

/// Newtonsoft reads text that looks like a date as a date; `ToString` then writes it the American way. `None`: not a date.
pub(super) fn date_to_string(text: &str) -> Option<String> {
    let looks_like = text.len() >= 19 && text.as_bytes().get(10) == Some(&b'T');
    if !looks_like {
        return None;
    }
    let at: DateTime = match text.parse::<jiff::Timestamp>() {
        Ok(at) => jiff::tz::Offset::UTC.to_datetime(at),
        Err(_) => text.parse().ok()?,
    };
    Some(format!(
        "{:02}/{:02}/{:04} {:02}:{:02}:{:02}",
        at.month(),
        at.day(),
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    ))
}

#[cfg(test)]
mod tests {
    use super::{double_json, double_text, float_json};

    #[test]
    fn numbers_are_written_as_dotnet_writes_them() {
        for (number, text) in
            [(1.5, "1.5"), (2.0, "2"), (1e300, "1E+300"), (-0.25, "-0.25"), (1e-7, "1E-07"), (0.0, "0")]
        {
            assert_eq!(double_text(number), text);
        }
        for (number, text) in [(123_456.0, "123456.0"), (0.001, "0.001"), (f64::NAN, "\"NaN\""), (1e15, "1E+15")] {
            assert_eq!(double_json(number), text);
        }
        assert_eq!(float_json(0.1), "0.1");
    }
}

//! The words of a filter expression.

/// Service Bus takes expressions of at most this many characters.
const CHARACTERS_MAX: usize = 1_024;

#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// A name or a keyword; keywords are compared ignoring case.
    Name(String),
    /// A name in brackets or double quotes, never a keyword.
    Quoted(String),
    Text(String),
    Int(i64),
    Float(f64),
    /// An operator or a bracket.
    Sign(&'static str),
}

const SIGNS: [&str; 12] = ["<>", "!=", "<=", ">=", "=", "<", ">", "(", ")", ",", ".", "-"];

pub fn words(text: &str) -> Result<Vec<Word>, String> {
    if text.chars().count() > CHARACTERS_MAX {
        return Err(format!("the expression is longer than {CHARACTERS_MAX} characters"));
    }
    let (mut words, mut rest) = (Vec::new(), text.trim_start());
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '\'' => quoted(rest, '\'').map(|(inner, after)| (Word::Text(inner), after))?,
            '"' => quoted(rest, '"').map(|(inner, after)| (Word::Quoted(inner), after))?,
            '[' => quoted(rest, ']').map(|(inner, after)| (Word::Quoted(inner), after))?,
            c if c.is_ascii_digit() => number(rest)?,
            c if c.is_alphabetic() || c == '_' => name(rest),
            _ => sign(rest)?,
        };
        words.push(word);
        rest = after.trim_start();
    }
    Ok(words)
}

/// Up to the closing quote; two of them are one that is meant.
fn quoted(rest: &str, close: char) -> Result<(String, &str), String> {
    let mut inner = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != close {
            inner.push(c);
        } else if chars.next_if(|(_, next)| *next == close).is_some() {
            inner.push(close);
        } else {
            return Ok((inner, &rest[at + c.len_utf8()..]));
        }
    }
    Err(format!("a {close} is missing at the end"))
}

fn number(rest: &str) -> Result<(Word, &str), String> {
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    let word = if digits.contains('.') {
        digits.parse().map(Word::Float).map_err(|_| ())
    } else {
        digits.parse().map(Word::Int).map_err(|_| ())
    };
    word.map(|word| (word, after)).map_err(|()| format!("{digits} is no number"))
}

fn name(rest: &str) -> (Word, &str) {
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    (Word::Name(name.to_owned()), after)
}

fn sign(rest: &str) -> Result<(Word, &str), String> {
    let found = SIGNS.iter().find(|sign| rest.starts_with(**sign));
    let sign = found.ok_or_else(|| format!("'{}' is not understood", rest.chars().next().unwrap_or(' ')))?;
    Ok((Word::Sign(sign), &rest[sign.len()..]))
}

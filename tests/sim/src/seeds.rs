//! The seeds that found a bug (tests/sim/seeds.txt): each is run again by `cargo test`.
//!
//! `<seed> [--faults NAME=RATE,…] [--durable] <one-line story>`, one a line; a line that begins with `#` is a comment.

use crate::{faults::Rates, simulate::Wishes};

/// A seed with what it needs to be run again, and what it once found.
#[derive(Clone, Debug)]
pub struct Kept {
    pub seed: u64,
    pub wishes: Wishes,
    pub story: String,
}

/// All seeds of the file, or what is wrong with which line.
pub fn parse(text: &str) -> Result<Vec<Kept>, String> {
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
    let said = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    said.map(|(n, line)| kept(line).map_err(|why| format!("line {n}: {why}"))).collect()
}

fn kept(line: &str) -> Result<Kept, String> {
    let (seed, mut rest) = word(line);
    let seed = seed.parse().map_err(|_| format!("`{seed}` is no seed"))?;
    let mut wishes = Wishes::default();
    loop {
        let (option, after) = word(rest);
        rest = match option {
            "--faults" => {
                let (rates, after) = word(after);
                wishes.rates = Some(Rates::parse(rates)?);
                after
            }
            "--durable" => {
                wishes.durable = true;
                after
            }
            other if other.starts_with("--") => return Err(format!("there is no `{other}`: --faults, --durable")),
            "" => return Err("what did this seed find?".into()),
            _ => return Ok(Kept { seed, wishes, story: rest.to_owned() }),
        };
    }
}

fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;

    #[test]
    fn a_seed_has_its_options_and_its_story() {
        let text = "# comment\n\n7 the sweep forgot a page\n  9 --faults crash=0.02,resent=1 --durable  two  words \n";
        let all = parse(text).unwrap();
        assert_eq!((all.len(), all[0].seed, all[0].story.as_str()), (2, 7, "the sweep forgot a page"));
        assert!(all[0].wishes.rates.is_none() && !all[0].wishes.durable);
        assert_eq!((all[1].seed, all[1].story.as_str(), all[1].wishes.durable), (9, "two  words", true));
        let rates = all[1].wishes.rates.as_ref().unwrap();
        assert!(rates.of(Fault::Crash) == 0.02 && rates.of(Fault::Resent) == 1.0);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let why = |text: &str| parse(text).unwrap_err();
        assert_eq!(why("# a\nx y"), "line 2: `x` is no seed");
        assert_eq!(why("7"), "line 1: what did this seed find?");
        assert_eq!(why("7 --fault crash=1 story"), "line 1: there is no `--fault`: --faults, --durable");
        assert!(why("7 --faults nonsense story").starts_with("line 1: `nonsense` is not NAME=RATE"));
    }
}

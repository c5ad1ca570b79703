//! Filter expressions: `kind IN ('a', 'b') AND (tries > 3 OR NOT EXISTS(audience)) AND sys.Label LIKE 'order.%'`.

use super::{
    Fact, System,
    lexer::{Word, words},
};

/// Brackets in brackets.
const DEPTH_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq)]
pub enum Property {
    System(System),
    User(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Constant(Fact),
    Null,
    Property(Property),
    Exists(Property),
    IsNull(Box<Expression>),
    Not(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Compare(Compared, Box<Expression>, Box<Expression>),
    In(Box<Expression>, Vec<Expression>),
    Like { text: Box<Expression>, pattern: String, escape: Option<char> },
}

pub fn parse(text: &str) -> Result<Expression, String> {
    let words = words(text)?;
    let mut parser = Parser { words: &words, depth: 0 };
    let expression = parser.any_of()?;
    match parser.words.first() {
        None => Ok(expression),
        Some(word) => Err(format!("{word:?} is not expected there")),
    }
}

struct Parser<'w> {
    words: &'w [Word],
    depth: usize,
}

type Parsed = Result<Expression, String>;

impl Parser<'_> {
    fn any_of(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("too many brackets in brackets".to_owned());
        }
        let mut left = self.all_of()?;
        while self.keyword("OR") {
            left = Expression::Or(Box::new(left), Box::new(self.all_of()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn all_of(&mut self) -> Parsed {
        let mut left = self.negated()?;
        while self.keyword("AND") {
            left = Expression::And(Box::new(left), Box::new(self.negated()?));
        }
        Ok(left)
    }

    fn negated(&mut self) -> Parsed {
        let mut negations = 0_usize;
        while self.keyword("NOT") {
            negations += 1;
        }
        let inner = self.predicate()?;
        Ok((0..negations % 2).fold(inner, |inner, _| Expression::Not(Box::new(inner))))
    }

    fn predicate(&mut self) -> Parsed {
        let left = self.operand()?;
        if let Some(compared) = self.comparison() {
            return Ok(Expression::Compare(compared, Box::new(left), Box::new(self.operand()?)));
        }
        if self.keyword("IS") {
            let is_not = self.keyword("NOT");
            self.demand_keyword("NULL")?;
            return Ok(negated_if(is_not, Expression::IsNull(Box::new(left))));
        }
        let is_not = self.keyword("NOT");
        if self.keyword("IN") {
            return Ok(negated_if(is_not, Expression::In(Box::new(left), self.list()?)));
        }
        if self.keyword("LIKE") {
            return Ok(negated_if(is_not, self.like(left)?));
        }
        if is_not { Err("NOT stands before neither IN nor LIKE".to_owned()) } else { Ok(left) }
    }

    fn comparison(&mut self) -> Option<Compared> {
        let Some(Word::Sign(sign)) = self.words.first() else { return None };
        let compared = match *sign {
            "=" => Compared::Equal,
            "<>" | "!=" => Compared::Unequal,
            "<" => Compared::Less,
            "<=" => Compared::AtMost,
            ">" => Compared::More,
            ">=" => Compared::AtLeast,
            _ => return None,
        };
        self.next();
        Some(compared)
    }

    fn list(&mut self) -> Result<Vec<Expression>, String> {
        self.demand("(")?;
        let mut all = vec![self.operand()?];
        while self.sign(",") {
            all.push(self.operand()?);
        }
        self.demand(")")?;
        Ok(all)
    }

    fn like(&mut self, text: Expression) -> Parsed {
        let Some(Word::Text(pattern)) = self.next() else { return Err("LIKE wants a pattern in quotes".to_owned()) };
        let mut escape = None;
        if self.keyword("ESCAPE") {
            match self.next() {
                Some(Word::Text(one)) if one.chars().count() == 1 => escape = one.chars().next(),
                _ => return Err("ESCAPE wants one character in quotes".to_owned()),
            }
        }
        Ok(Expression::Like { text: Box::new(text), pattern, escape })
    }

    fn operand(&mut self) -> Parsed {
        match self.next() {
            Some(Word::Sign("(")) => {
                let inner = self.any_of()?;
                self.demand(")")?;
                Ok(inner)
            }
            Some(Word::Sign("-")) => match self.next() {
                Some(Word::Int(n)) => Ok(Expression::Constant(Fact::Int(-n))),
                Some(Word::Float(n)) => Ok(Expression::Constant(Fact::Float(-n))),
                _ => Err("- stands before no number".to_owned()),
            },
            Some(Word::Text(text)) => Ok(Expression::Constant(Fact::Text(text))),
            Some(Word::Int(n)) => Ok(Expression::Constant(Fact::Int(n))),
            Some(Word::Float(n)) => Ok(Expression::Constant(Fact::Float(n))),
            Some(Word::Name(name)) => self.named(name),
            Some(Word::Quoted(name)) => self.property(name).map(Expression::Property),
            Some(word) => Err(format!("{word:?} is not expected there")),
            None => Err("the expression ends too early".to_owned()),
        }
    }

    fn named(&mut self, name: String) -> Parsed {
        match name.to_ascii_uppercase().as_str() {
            "TRUE" => Ok(Expression::Constant(Fact::Bool(true))),
            "FALSE" => Ok(Expression::Constant(Fact::Bool(false))),
            "NULL" => Ok(Expression::Null),
            "EXISTS" => {
                self.demand("(")?;
                let Some(Word::Name(name) | Word::Quoted(name)) = self.next() else {
                    return Err("EXISTS wants a property".to_owned());
                };
                let property = self.property(name)?;
                self.demand(")")?;
                Ok(Expression::Exists(property))
            }
            "AND" | "OR" | "NOT" | "IN" | "LIKE" | "IS" | "ESCAPE" => Err(format!("{name} is not expected there")),
            _ => self.property(name).map(Expression::Property),
        }
    }

    /// A name, or a scope whose name follows.
    fn property(&mut self, first: String) -> Result<Property, String> {
        if !self.sign(".") {
            return Ok(Property::User(first));
        }
        let Some(Word::Name(name) | Word::Quoted(name)) = self.next() else {
            return Err(format!("a property is missing after {first}."));
        };
        match first.to_ascii_lowercase().as_str() {
            "user" => Ok(Property::User(name)),
            "sys" => {
                let found = System::ALL.iter().find(|(_, known)| known.eq_ignore_ascii_case(&name));
                found.map(|(system, _)| Property::System(*system)).ok_or(format!("there is no property sys.{name}"))
            }
            _ => Err(format!("{first}. is neither sys. nor user.")),
        }
    }

    fn next(&mut self) -> Option<Word> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first.clone())
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let is = matches!(self.words.first(), Some(Word::Name(name)) if name.eq_ignore_ascii_case(keyword));
        is && self.next().is_some()
    }

    fn sign(&mut self, wanted: &str) -> bool {
        let is = matches!(self.words.first(), Some(Word::Sign(sign)) if *sign == wanted);
        is && self.next().is_some()
    }

    fn demand(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(format!("a {sign} is missing")) }
    }

    fn demand_keyword(&mut self, keyword: &str) -> Result<(), String> {
        if self.keyword(keyword) { Ok(()) } else { Err(format!("{keyword} is missing")) }
    }
}

fn negated_if(is_not: bool, inner: Expression) -> Expression {
    if is_not { Expression::Not(Box::new(inner)) } else { inner }
}

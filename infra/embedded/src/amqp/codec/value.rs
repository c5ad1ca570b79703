//! A value of AMQP 1.0, and short ways to make one and to look into one.

/// Every primitive type, the compound ones, and a described value. Integers keep their width: a client that sends an `int`
/// must get an `int` back.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    F32(f32),
    F64(f64),
    /// IEEE 754 decimals, which nobody here reckons with.
    Decimal32([u8; 4]),
    Decimal64([u8; 8]),
    Decimal128([u8; 16]),
    /// A UTF-32 code unit as it came.
    Char(u32),
    /// Milliseconds since 1970.
    Timestamp(i64),
    Uuid([u8; 16]),
    Binary(Vec<u8>),
    Text(String),
    Symbol(String),
    List(Vec<Value>),
    /// In the order in which they came, as AMQP wants it.
    Map(Vec<(Value, Value)>),
    /// Of one type. What differs from the first element is left out when it is encoded.
    Array(Vec<Value>),
    Described(Box<Value>, Box<Value>),
}

/// What one looks at where there is nothing.
static NOTHING: Value = Value::Null;

impl Value {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn symbol(text: impl Into<String>) -> Self {
        Self::Symbol(text.into())
    }

    pub fn described(code: u64, value: Self) -> Self {
        Self::Described(Box::new(Self::U64(code)), Box::new(value))
    }

    /// A map with text keys.
    pub fn map<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Map(members.into_iter().map(|(name, value)| (Self::text(name), value)).collect())
    }

    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }

    pub fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    /// Of a text or a symbol.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Symbol(text) => Some(text),
            _ => None,
        }
    }

    /// Of any whole number or timestamp that fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::U8(n) => Some(i64::from(*n)),
            Self::U16(n) => Some(i64::from(*n)),
            Self::U32(n) => Some(i64::from(*n)),
            Self::U64(n) => i64::try_from(*n).ok(),
            Self::I8(n) => Some(i64::from(*n)),
            Self::I16(n) => Some(i64::from(*n)),
            Self::I32(n) => Some(i64::from(*n)),
            Self::I64(n) | Self::Timestamp(n) => Some(*n),
            _ => None,
        }
    }

    pub fn as_u32(&self) -> Option<u32> {
        self.as_i64().and_then(|n| u32::try_from(n).ok())
    }

    pub fn as_binary(&self) -> Option<&[u8]> {
        match self {
            Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub fn as_uuid(&self) -> Option<[u8; 16]> {
        match self {
            Self::Uuid(bytes) => Some(*bytes),
            _ => None,
        }
    }

    /// The elements of a list or an array. A `multiple` field may also be one value, or null for none.
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) | Self::Array(items) => items,
            Self::Null => &[],
            one => std::slice::from_ref(one),
        }
    }

    /// A field of a list; those at the end may be left out.
    pub fn field(&self, at: usize) -> &Self {
        match self {
            Self::List(items) => items.get(at).unwrap_or(&NOTHING),
            _ => &NOTHING,
        }
    }

    pub fn members(&self) -> &[(Self, Self)] {
        match self {
            Self::Map(members) => members,
            _ => &[],
        }
    }

    /// A member of a map by a text or symbol key.
    pub fn member(&self, name: &str) -> &Self {
        let found = self.members().iter().find(|(key, _)| key.as_str() == Some(name));
        found.map_or(&NOTHING, |(_, value)| value)
    }

    /// A described value, if its descriptor is this number or this symbol.
    pub fn described_as(&self, code: u64, symbol: &str) -> Option<&Self> {
        let Self::Described(descriptor, value) = self else { return None };
        let is_it = match &**descriptor {
            Self::U64(number) => *number == code,
            Self::Symbol(name) => name == symbol,
            _ => false,
        };
        is_it.then_some(value)
    }
}

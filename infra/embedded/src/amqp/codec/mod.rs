//! The type system of AMQP 1.0 (OASIS, part 1): values, and their bytes.

mod decode;
mod encode;
mod value;

pub use decode::{Decoder, Malformed};
pub use value::Value;

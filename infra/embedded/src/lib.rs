//! opsloop-embedded

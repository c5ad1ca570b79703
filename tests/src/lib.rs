//! opsloop-tests

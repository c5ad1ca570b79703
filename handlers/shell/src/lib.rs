//! opsloop-shell

//! opsloop-kernel

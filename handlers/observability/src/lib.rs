//! opsloop-observability

//! The HTTP front.
use super::core::Core;
use std::sync::Arc;
use tokio::net::TcpListener;
pub(super) async fn serve(_core: Arc<Core>, _listener: TcpListener) {}

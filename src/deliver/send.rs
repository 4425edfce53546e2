//! One POST.

use std::sync::Arc;
use async_trait::async_trait;
use crate::decide::attempt::Attempted;

/// Everything that one POST needs.
#[derive(Debug)]
pub struct Request {
    /// Where to.
    pub url: Arc<url::Url>,
    /// What.
    pub body: bytes::Bytes,
    /// With which headers.
    pub headers: http::HeaderMap,
}

/// The way to an endpoint.
#[async_trait]
pub trait Sender: Send + Sync {
    /// Makes one POST.
    async fn send(&self, request: Request) -> Attempted;
}

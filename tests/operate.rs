//! The API over real HTTP (contract, section 5), every row of it on both stores.

#![allow(clippy::unwrap_used)]

/// Runs each of the promises over each of the stores.
macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {
        mod on_memory {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise(crate::service::Kind::Memory).await;
                }
            )+
        }

        mod on_redis {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise(crate::service::Kind::Redis).await;
                }
            )+
        }
    };
}

#[path = "operate/access.rs"]
mod access;
#[path = "operate/console.rs"]
mod console;
#[path = "operate/editing.rs"]
mod editing;
#[path = "operate/endpoints.rs"]
mod endpoints;
#[path = "operate/logs.rs"]
mod logs;
#[path = "operate/pages.rs"]
mod pages;
#[path = "operate/pages_state.rs"]
mod pages_state;
#[path = "operate/pages_wrong.rs"]
mod pages_wrong;
#[path = "operate/publishing.rs"]
mod publishing;
#[path = "operate/redis.rs"]
mod redis;
#[path = "operate/resending.rs"]
mod resending;
#[path = "operate/service.rs"]
mod service;
#[path = "operate/serving.rs"]
mod serving;
#[path = "operate/tokens.rs"]
mod tokens;
#[path = "operate/workspaces.rs"]
mod workspaces;

const ENDPOINTS: &str = "/v1/workspaces/acme/endpoints";

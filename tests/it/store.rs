//! What the store promises, held against both of its implementations.
//!
//! [`contract`] states each promise as a test that runs on every store. [`differential`] applies seeded random
//! operations to two stores and compares all they answer: it finds what nobody thought of stating.

/// Runs each of the promises on every store. A store that is added here is held to all of them.
macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {
        mod on_memory {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise(&crate::store::fixture::open_memory).await;
                }
            )+
        }

        mod on_redis {
            $(
                #[tokio::test]
                async fn $promise() {
                    super::$promise(&crate::store::fixture::open_redis).await;
                }
            )+
        }
    };
}

mod contract;
mod differential;
mod fixture;
mod redis_cost;
mod redis_data;
mod redis_durability;
mod redis_open;
mod redis_server;
mod world;

//! Texts that are kept for a time: a key each, whose end the scripts judge by the store's time. Redis's own expiry only
//! cleans up after them, so that given time and the server's behave alike.

use std::time::Duration;

use async_trait::async_trait;

use super::connect::Call;
use super::reply::text_if;
use super::{RedisStore, scripts};
use crate::decide::ids::{Partition, fnv1a};
use crate::store::Result;
use crate::store::once::{Once, OnceName};

#[async_trait]
impl Once for RedisStore {
    async fn keep(&self, name: &OnceName, text: &str, span: Duration) -> Result<Option<String>> {
        let arguments = vec![self.now(), text.to_owned().into(), span.as_millis().to_string().into()];
        let call = Call { script: &scripts::KEEP, keys: vec![self.once_key(name)], arguments };
        text_if(self.run("keep", &call).await?)
    }

    async fn take(&self, name: &OnceName) -> Result<Option<String>> {
        let call = Call { script: &scripts::TAKE, keys: vec![self.once_key(name)], arguments: vec![self.now()] };
        text_if(self.run("take", &call).await?)
    }
}

impl RedisStore {
    /// Names are of no workspace, so they spread over the partitions by themselves.
    fn once_key(&self, name: &OnceName) -> String {
        let spread = fnv1a(name.as_str().as_bytes()) % u64::from(self.partitions);
        let partition = Partition(u16::try_from(spread).expect("a remainder of a u16 fits one"));
        self.keys.once(partition, name)
    }
}

//! What counts only once: texts that are kept for a time.

use std::time::Duration;

use recadero::store::once::OnceName;

use crate::store::fixture::Open;
use crate::store::world::{MINUTE, World};

promises! {
    the_first_text_of_a_name_counts,
    a_text_is_taken_once,
    a_text_is_gone_when_its_span_is_over,
}

const SHORT: Duration = Duration::from_millis(1);

fn name(text: &str) -> OnceName {
    OnceName::of(&["test", text])
}

async fn the_first_text_of_a_name_counts(open: &Open) {
    let world = World::open(open).await;
    let keep = async |of: &str, text: &str| world.store.keep(&name(of), text, MINUTE).await.expect("kept");
    assert_eq!(keep("a", "first\nline 2 %").await, None);
    assert_eq!(keep("a", "second").await.as_deref(), Some("first\nline 2 %"));
    assert_eq!(keep("a", "first\nline 2 %").await.as_deref(), Some("first\nline 2 %"));
    assert_eq!(keep("b", "").await, None);
    assert_eq!(keep("b", "more").await.as_deref(), Some(""));
}

async fn a_text_is_taken_once(open: &Open) {
    let world = World::open(open).await;
    let take = async |of: &str| world.store.take(&name(of)).await.expect("taken");
    world.store.keep(&name("a"), "text", MINUTE).await.expect("kept");
    assert_eq!(take("b").await, None);
    assert_eq!((take("a").await.as_deref(), take("a").await), (Some("text"), None));
    assert_eq!(world.store.keep(&name("a"), "again", MINUTE).await.expect("kept"), None);
}

async fn a_text_is_gone_when_its_span_is_over(open: &Open) {
    let world = World::open(open).await;
    for of in ["a", "b"] {
        world.store.keep(&name(of), "text", MINUTE).await.expect("kept");
    }
    world.pass(MINUTE - SHORT);
    assert_eq!(world.store.keep(&name("a"), "other", MINUTE).await.expect("kept").as_deref(), Some("text"));
    world.pass(SHORT);
    assert_eq!(world.store.take(&name("b")).await.expect("taken"), None);
    assert_eq!(world.store.keep(&name("a"), "other", MINUTE).await.expect("kept"), None);
    assert_eq!(world.store.take(&name("a")).await.expect("taken").as_deref(), Some("other"));
}

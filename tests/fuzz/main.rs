//! What strangers write is read here: event bodies, endpoint URLs, workspace tokens, cursors. Each target takes any bytes
//! and says what must hold of them, by an oracle that shares no code with what it judges, and not only that nothing panics.
//!
//! `corpus/TARGET` keeps inputs: one for each verdict, what has deceived others, and what was found. `tests/run` judges all of
//! them and a few thousand changed ones, always the same; by hand it goes on, each time with others:
//!
//! ```sh
//! RECADERO_FUZZ_SECONDS=600 cargo test --release --features testing --test fuzz -- --nocapture
//! ```
//!
//! An input that fails is made as small as it goes and written to `corpus/TARGET`, where it stays; so is one with a verdict
//! that none had. Rejected: cargo-fuzz, whose instrumentation wants a nightly compiler. Its targets would be these very
//! functions of bytes.

// Tests may panic, and wait for real.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod cursor;
mod engine;
mod event;
mod json;
#[allow(dead_code)] // The API's tests use all of it.
#[path = "../operate/redis.rs"]
mod redis;
#[allow(dead_code)]
#[path = "../operate/service.rs"]
mod service;
mod token;
mod url;

use engine::fuzz;

#[test]
fn any_event_is_taken_or_refused_as_the_contract_says() {
    fuzz("event", 40_000, event::VERDICTS, event::judge);
}

#[test]
fn any_url_that_is_accepted_is_what_the_client_dials_and_no_forbidden_address() {
    fuzz("url", 60_000, url::VERDICTS, url::judge);
}

#[test]
fn any_token_that_verifies_was_signed_here_and_grants_what_was_signed() {
    fuzz("token", 40_000, token::VERDICTS, token::judge);
}

#[test]
fn any_cursor_shows_a_part_of_ones_own_list_or_is_refused() {
    let world = cursor::World::new();
    fuzz("cursor", 3_000, cursor::VERDICTS, |input| world.judge(input));
}

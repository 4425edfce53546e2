//! The Lua scripts: each one operation, whole or not at all.
//!
//! A script is known by the hash of its text, so two releases run side by side on one Redis. What they share is put
//! before each as text (`lib.lua`, `lease.lua` and `flow.lua` where events move), but no more than a script needs, since
//! all of it runs with every call; a Redis function library would be shared state with versions of its own. A script that drains may run when Redis is full; one that adds is refused then, whole
//! and up front, before it has written anything.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::keys::Scope;

/// A script's text and the hash that `EVALSHA` takes.
#[derive(Debug)]
pub(super) struct Script {
    pub text: String,
    pub hash: String,
}

const ADDS: &str = "#!lua\n";
const DRAINS: &str = "#!lua flags=allow-oom\n";
const READS: &str = "#!lua flags=no-writes\n";

static LIB: LazyLock<String> = LazyLock::new(|| lib(Scope::ALL));
const LEASE: &str = include_str!("lua/lease.lua");
const FLOW: &str = concat!(include_str!("lua/lease.lua"), include_str!("lua/flow.lua"));

fn lib(scope: Scope) -> String {
    let Scope { partition, workspace, endpoint } = scope;
    let keys = format!("local PARTITION_KEYS, WORKSPACE_KEYS, ENDPOINT_KEYS = {partition}, {workspace}, {endpoint}\n");
    keys + include_str!("lua/lib.lua")
}

impl Script {
    fn new(parts: &[&str]) -> Self {
        let text = fold(&parts.concat()) + &edition();
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }
}

/// Puts numbers in the places of a text's constants. Lua 5.1 knows none, and a local that functions use is looked for whenever
/// one of them is made, among all that functions use: 7 % of what a commit costs, eight lanes to a call.
fn fold(text: &str) -> String {
    let mut constants = HashMap::new();
    for (name, value) in text.lines().filter_map(constants_of).flatten() {
        let before = constants.insert(name, value);
        debug_assert!(before.is_none(), "{name} has two values");
    }
    let ends_word = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
    let mut folded = String::with_capacity(text.len());
    for line in text.lines() {
        // Where a line has constants alone, nothing is left of it but its end.
        let rest = if constants_of(line).is_some() { "" } else { line };
        // Every other part is quoted.
        for (number, part) in rest.split_inclusive('\'').enumerate() {
            for piece in part.split_inclusive(ends_word) {
                let word = piece.trim_end_matches(ends_word);
                let put = constants.get(word).filter(|_| number % 2 == 0).unwrap_or(&word);
                folded.extend([put, &piece[word.len()..]]);
            }
        }
        folded.push('\n');
    }
    folded
}

/// A line's constants, if it has nothing else: `local A, B = 1, 2`.
fn constants_of(line: &str) -> Option<Vec<(&str, &str)>> {
    let (names, values) = line.strip_prefix("local ")?.split_once(" = ")?;
    let (names, values): (Vec<_>, Vec<_>) = (names.split(", ").collect(), values.split(", ").collect());
    let is_name = |name: &&str| name.bytes().all(|letter| letter.is_ascii_uppercase() || letter == b'_');
    let is_number = |value: &&str| value.bytes().all(|digit| digit.is_ascii_digit());
    let all = names.len() == values.len() && names.iter().all(is_name) && values.iter().all(is_number);
    all.then(|| names.into_iter().zip(values).collect())
}

/// Another release's scripts, as far as Redis can tell: the same with another hash.
#[cfg(feature = "testing")]
fn edition() -> String {
    std::env::var("RECADERO_TEST_SCRIPTS").map_or(String::new(), |edition| format!("\n-- {edition}\n"))
}

#[cfg(not(feature = "testing"))]
fn edition() -> String {
    String::new()
}

macro_rules! scripts {
    ($($name:ident = $($part:expr),+;)+) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| Script::new(&[$(&*$part),+]));)+
    };
}

scripts! {
    APPEND = ADDS, lib(Scope::APPEND), include_str!("lua/append.lua");
    KNOWN = READS, include_str!("lua/known.lua");
    DUE = READS, include_str!("lua/due.lua");
    CLAIM = DRAINS, lib(Scope::CLAIM), LEASE, include_str!("lua/claim.lua");
    COMMIT = DRAINS, LIB, FLOW, include_str!("lua/fail.lua"), include_str!("lua/commit.lua");
    COMMIT_DELIVERED = DRAINS, lib(Scope::DELIVERED), LEASE, "local fail\n", include_str!("lua/commit.lua");
    GIVE_BACK = DRAINS, LIB, include_str!("lua/give_back.lua");
    TRIM = DRAINS, LIB, FLOW, include_str!("lua/trim.lua");
    RELEASE = DRAINS, LIB, include_str!("lua/release.lua");
    TEND = DRAINS, LIB, FLOW, include_str!("lua/tend.lua");
    PURGE = DRAINS, LIB, FLOW, include_str!("lua/purge.lua");
    BEAT = DRAINS, include_str!("lua/beat.lua");
    NOTICES = DRAINS, include_str!("lua/notices.lua");
    SETTLE = DRAINS, include_str!("lua/settle.lua");
    PUT_WORKSPACE = ADDS, LIB, include_str!("lua/put_workspace.lua");
    PUT_ENDPOINT = ADDS, LIB, FLOW, include_str!("lua/put_endpoint.lua");
    DELETE = DRAINS, LIB, FLOW, include_str!("lua/delete.lua");
    ENABLE = DRAINS, LIB, FLOW, include_str!("lua/enable.lua");
    DISABLE = DRAINS, LIB, FLOW, include_str!("lua/disable.lua");
    RESEND = ADDS, LIB, FLOW, include_str!("lua/resend.lua");
    LOOK = READS, LIB, include_str!("lua/look.lua");
    RETRYING = READS, LIB, include_str!("lua/retrying.lua");
    QUOTA = READS, LIB, include_str!("lua/quota.lua");
    STATS = READS, LIB, include_str!("lua/stats.lua");
    ATTEMPTS = READS, LIB, include_str!("lua/attempts.lua");
    DROPPED = READS, LIB, FLOW, include_str!("lua/dropped.lua");
    SPAN = READS, LIB, include_str!("lua/span.lua");
    KEEP = ADDS, include_str!("lua/keep.lua");
    TAKE = DRAINS, include_str!("lua/take.lua");
    PAYLOAD = READS, LIB, FLOW, include_str!("lua/payload.lua");
    LIFE = DRAINS, include_str!("lua/life.lua");
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn constants_are_put_in_their_places() {
        let text = "local ONE, TWO = 1, 2\nlocal x = {[ONE] = 'ONE', TWO_MORE = TWO}\nlocal NOT, SO = 1, x\n";
        assert_eq!(fold(text), "\nlocal x = {[1] = 'ONE', TWO_MORE = 2}\nlocal NOT, SO = 1, x\n");
    }
}

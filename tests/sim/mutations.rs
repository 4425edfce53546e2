//! Each deliberate bug of `src/testing.rs` must break a promise within two thousand seeds: a simulation that finds none
//! of them proves nothing.

use recadero::testing::{self, Bug};

use crate::judge;
use crate::plan::Plan;

/// The seeds that every bug must be found in.
const SEEDS: u64 = 2_000;

/// The first seed that shows a bug, and the promise that it breaks.
fn found(bug: Bug) -> Option<(u64, &'static str)> {
    testing::with(bug, || (0..SEEDS).find_map(|seed| Some((seed, judge(&Plan::of(seed)).1.first()?.rule))))
}

/// Every fourth bug, so that they are looked for side by side.
macro_rules! quarters {
    ($($name:ident $quarter:literal),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                for bug in Bug::ALL.into_iter().skip($quarter).step_by(4) {
                    let found = found(bug);
                    println!("{bug:?}: {found:?}");
                    assert!(found.is_some(), "{SEEDS} histories do not show {bug:?}");
                }
            }
        )+
    };
}

quarters!(every_bug_is_found_1 0, every_bug_is_found_2 1, every_bug_is_found_3 2, every_bug_is_found_4 3);

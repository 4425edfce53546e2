//! Inputs from inputs: the kept ones, spliced and spoiled. Feedback is the verdict that a target gives: whatever brings
//! about one that none had joins those that others are made of.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The longest input; what is longer is cut.
const INPUT_BYTES_MAX: usize = 4_096;
/// Changes that are made to an input at most.
const CHANGES_MAX: usize = 4;
/// Bytes on which parsers turn.
const TURNS: &[u8] = b"\0\t\n\r \"#%&'*+,-./0123456789:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\xc3\xff";

/// Judges every kept input of a target, and `count` made of them, or as many as `RECADERO_FUZZ_SECONDS` allows. Each of `wanted`
/// has to be a verdict of some: a target that lets nothing through shows nothing.
pub fn fuzz(target: &str, count: usize, wanted: &[&str], judge: impl Fn(&[u8]) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let span = std::env::var("RECADERO_FUZZ_SECONDS").ok().map(|text| Duration::from_secs(text.parse().unwrap()));
    let run = Run { folder, by_hand: span.is_some(), judge };

    let mut verdicts = BTreeSet::new();
    let mut pool = run.kept();
    for input in &pool {
        verdicts.insert(run.verdict(input));
    }
    let missing: Vec<_> = wanted.iter().filter(|verdict| !verdicts.contains(**verdict)).collect();
    assert!(missing.is_empty(), "{target}: none of the corpus is {missing:?}, only {verdicts:?}");

    let seed = if run.by_hand { rand::random() } else { 0 };
    let mut random = StdRng::seed_from_u64(seed);
    let (begun, mut made) = (Instant::now(), 0);
    while span.map_or(made < count, |span| begun.elapsed() < span) {
        let input = changed(&pool, &mut random);
        let verdict = run.verdict(&input);
        made += 1;
        if verdicts.insert(verdict.clone()) {
            if run.by_hand {
                println!("{target}: {verdict}: {}", input.escape_ascii());
                run.keep(&input);
            }
            pool.push(input);
        }
    }
    println!("{target}: {made} inputs, {} verdicts, seed {seed}", verdicts.len());
}

struct Run<F> {
    folder: PathBuf,
    by_hand: bool,
    judge: F,
}

impl<F: Fn(&[u8]) -> String> Run<F> {
    fn kept(&self) -> Vec<Vec<u8>> {
        let mut paths: Vec<_> = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "{} is empty", self.folder.display());
        paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
    }

    /// The target's verdict; where it panics, so does this, over the smallest input that still makes it.
    fn verdict(&self, input: &[u8]) -> String {
        let judged = catch_unwind(AssertUnwindSafe(|| (self.judge)(input)));
        judged.unwrap_or_else(|_| {
            let small = self.shrunk(input.to_vec());
            let kept = if self.by_hand { self.keep(&small) } else { "nowhere; run it by hand to keep it".to_owned() };
            panic!("fails, with what is said above: {}\nkept: {kept}", small.escape_ascii())
        })
    }

    fn shrunk(&self, mut input: Vec<u8>) -> Vec<u8> {
        let fails = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| (self.judge)(input))).is_err();
        let mut piece = input.len().div_ceil(2);
        while piece > 0 {
            let mut at = 0;
            while at < input.len() {
                let mut fewer = input.clone();
                fewer.drain(at..(at + piece).min(input.len()));
                if fails(&fewer) { input = fewer } else { at += piece }
            }
            piece /= 2;
        }
        input
    }

    fn keep(&self, input: &[u8]) -> String {
        let name = format!("found-{:016x}", recadero::decide::ids::fnv1a(input));
        let path = self.folder.join(name);
        fs::write(&path, input).unwrap();
        path.display().to_string()
    }
}

/// One of the pool, changed in a few places.
fn changed(pool: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let pick = |random: &mut StdRng| &pool[random.random_range(0..pool.len())];
    let mut input = pick(random).clone();
    for _ in 0..random.random_range(1..=CHANGES_MAX) {
        let at = random.random_range(0..=input.len());
        let end = random.random_range(at..=(at + 8).min(input.len()));
        match random.random_range(0..8) {
            0 => drop(input.drain(at..end)),
            1 => input.insert(at, TURNS[random.random_range(0..TURNS.len())]),
            2 => input.insert(at, random.random()),
            3 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
            4 if at < input.len() => input[at] = TURNS[random.random_range(0..TURNS.len())],
            // A piece once more, a few times: nesting, long names.
            5 => {
                let piece = input[at..end].repeat(1 << random.random_range(0..8));
                input.splice(at..at, piece);
            }
            // A piece of another, in place of one here.
            _ => {
                let other = pick(random);
                let from = random.random_range(0..=other.len());
                let to = random.random_range(from..=other.len());
                input.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    input.truncate(INPUT_BYTES_MAX);
    input
}

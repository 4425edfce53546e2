//! The house rules that a program can check, so that nobody has to remember them (see CONTRIBUTING.md).
//!
//! Each rule is a function from a file to complaints. Below it stand two tests: that the project keeps the rule, and that
//! the rule can fail. Rejected: parsing Rust, which would find a few cases more and be the largest part of the tests.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

/// A file of the project: its path from the top, with `/`, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn of(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// The lines with their numbers, without what follows `//`: a comment may name what code must not use.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(n, line)| (n + 1, line.split("//").next().unwrap_or_default()))
    }

    fn is_below(&self, folder: &str) -> bool {
        self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(['/', '.']))
    }
}

/// What is committed, or will be: git's files and the ones it does not ignore.
fn files() -> Vec<File> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    // In a container the clone may belong to somebody else, which git finds suspicious.
    let listed = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(top)
        .output()
        .expect("git, which made the clone");
    assert!(listed.status.success(), "{listed:?}");
    let paths = String::from_utf8(listed.stdout).unwrap();
    let files: Vec<_> = paths
        .split_terminator('\0')
        // A file that was deleted is still listed until that is committed.
        .filter_map(|path| fs::read(top.join(path)).ok().map(|bytes| File::of(path, &String::from_utf8_lossy(&bytes))))
        .collect();
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "no files found");
    files
}

/// Panics with every complaint of `rule` about the files that `concerns` picks.
fn check(concerns: impl Fn(&File) -> bool, rule: impl Fn(&File) -> Vec<String>) {
    let complaints: Vec<_> = files()
        .iter()
        .filter(|file| concerns(file))
        .flat_map(|file| rule(file).into_iter().map(|complaint| format!("{}: {complaint}", file.path)))
        .collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn source(file: &File) -> bool {
    file.is_below("src") && file.path.ends_with(".rs")
}

/// Complaints about the lines of code that `wrong` finds.
fn lines(file: &File, why: &str, wrong: impl Fn(&str) -> bool) -> Vec<String> {
    file.code().filter(|(_, line)| wrong(line)).map(|(n, line)| format!("line {n}: {why}: {}", line.trim())).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(in_word) && !line[at + word.len()..].starts_with(in_word))
}

// A module is `foo.rs` beside `foo/`.

fn no_mod_rs(file: &File) -> Vec<String> {
    let wrong = file.path.ends_with("/mod.rs");
    if wrong { vec!["call it by the folder's name, beside the folder".into()] } else { vec![] }
}

#[test]
fn a_module_stands_beside_its_folder() {
    check(|_| true, no_mod_rs);
}

#[test]
fn a_mod_rs_is_found() {
    assert_eq!(no_mod_rs(&File::of("src/store/mod.rs", "")).len(), 1);
    assert!(no_mod_rs(&File::of("src/store.rs", "")).is_empty());
}

// A file has one subject.

const MAX_LINES: usize = 400;
/// Files that are longer, each with its reason.
const LONGER: [&str; 0] = [];

fn too_long(file: &File) -> Vec<String> {
    let count = file.text.lines().count();
    let wrong = count > MAX_LINES && !LONGER.contains(&file.path.as_str());
    if wrong { vec![format!("{count} lines: look for its second subject")] } else { vec![] }
}

#[test]
fn a_file_has_one_subject() {
    check(|file| file.is_below("src"), too_long);
}

#[test]
fn a_long_file_is_found() {
    assert_eq!(too_long(&File::of("src/a.rs", &"\n".repeat(MAX_LINES + 1))).len(), 1);
    assert!(too_long(&File::of("src/a.rs", &"\n".repeat(MAX_LINES))).is_empty());
}

// `decide` is pure.

fn impure(file: &File) -> Vec<String> {
    const OUTSIDE: [&str; 7] = ["tokio", "redis", "reqwest", "lapin", "axum", "Instant", "SystemTime"];
    lines(file, "decide has no runtime, no client and no clock", |line| OUTSIDE.iter().any(|word| has_word(line, word)))
}

#[test]
fn decide_is_pure() {
    check(|file| source(file) && file.is_below("src/decide"), impure);
}

#[test]
fn impurity_is_found() {
    let wrong = ["use tokio::sync::Mutex;", "use std::time::{Duration, Instant};", "fn f(c: redis::Client) {}"];
    for text in wrong {
        assert_eq!(impure(&File::of("src/decide/a.rs", text)).len(), 1, "{text}");
    }
    let right = "//! Not redis.\nuse std::time::Duration;\nlet redistribute = 1; // not tokio";
    assert!(impure(&File::of("src/decide/a.rs", right)).is_empty());
}

// Nothing but the clock asks for the time. Tokio's own `Instant` is for waiting, and stands still when a test says so.

fn asks_for_the_time(file: &File) -> Vec<String> {
    let waits = file.code().any(|(_, line)| line.contains("tokio::time::") && has_word(line, "Instant"));
    lines(file, "take a Clock, or the time as an argument", |line| {
        line.contains("SystemTime::now")
            || has_word(line, "clock_gettime")
            || line.contains("time::Instant::now") && !line.contains("tokio::time::Instant::now")
            || line.contains("Instant::now") && !waits
    })
}

#[test]
fn only_the_clock_asks_for_the_time() {
    check(|file| source(file) && file.path != "src/clock.rs", asks_for_the_time);
}

#[test]
fn asking_for_the_time_is_found() {
    for text in ["let a = Instant::now();", "SystemTime::now()", "std::time::Instant::now()", "clock_gettime(id)"] {
        assert_eq!(asks_for_the_time(&File::of("src/a.rs", text)).len(), 1, "{text}");
    }
    let right = "use tokio::time::{Duration, Instant};\nlet at = Instant::now();";
    assert!(asks_for_the_time(&File::of("src/a.rs", right)).is_empty());
}

// A module says what it is for. One that is named `tests` has said it.

fn undocumented(file: &File) -> Vec<String> {
    let right = file.text.starts_with("//!") || file.path.ends_with("/tests.rs");
    if right { vec![] } else { vec!["begin with //!: what it is for, why so, what was rejected".into()] }
}

#[test]
fn a_module_says_what_it_is_for() {
    check(source, undocumented);
}

#[test]
fn a_module_that_says_nothing_is_found() {
    assert_eq!(undocumented(&File::of("src/a.rs", "use std::fmt;\n//! Late.")).len(), 1);
    assert!(undocumented(&File::of("src/a.rs", "//! Why.\nuse std::fmt;")).is_empty());
}

// A Lua script says what it is for and what goes in and out, and names its inputs in its first block of code.

/// Parts that are put before scripts, which say what goes in and out.
const LUA_PARTS: [&str; 4] = ["lib.lua", "lease.lua", "flow.lua", "fail.lua"];

fn unclear_lua(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    let header: Vec<_> = file.text.lines().take_while(|line| line.starts_with("--")).collect();
    if header.first().is_none_or(|line| line.trim_matches(['-', ' ']).is_empty()) {
        complaints.push("begin with what it is for".into());
    }
    let part = LUA_PARTS.iter().any(|name| file.path.ends_with(&format!("/{name}")));
    for word in ["KEYS", "ARGV", "Returns"] {
        if !part && !header.iter().any(|line| line.trim_start_matches(['-', ' ']).starts_with(word)) {
            complaints.push(format!("its header does not say: {word}"));
        }
    }
    let code = file.text.lines().enumerate().skip(header.len()).skip_while(|(_, line)| line.trim().is_empty());
    for (n, line) in code.skip_while(|(_, line)| !line.trim().is_empty()) {
        let line_of_code = line.split("--").next().unwrap_or_default();
        let mut numbered = ["KEYS[", "ARGV["].iter().flat_map(|start| line_of_code.split(start).skip(1));
        if numbered.any(|rest| rest.split(']').next().is_some_and(|index| index.parse::<u32>().is_ok())) {
            complaints.push(format!("line {}: name it in the first block: {}", n + 1, line.trim()));
        }
    }
    complaints
}

#[test]
fn a_lua_script_says_what_goes_in_and_out() {
    check(|file| file.is_below("src/store/redis") && file.path.ends_with(".lua"), unclear_lua);
}

#[test]
fn an_unclear_lua_script_is_found() {
    const RIGHT: &str =
        "-- Does.\n-- KEYS  one\n-- ARGV  now_ms\n-- Returns {ok}\nlocal key, now = KEYS[1], ARGV[1]\n\n";
    let complaints = |text: &str| unclear_lua(&File::of("src/store/redis/lua/a.lua", text)).len();
    assert_eq!(complaints(RIGHT), 0);
    assert_eq!(complaints(&format!("{RIGHT}return ARGV[rest + 1] -- not ARGV[1]")), 0);
    assert_eq!(complaints(&format!("{RIGHT}return redis.call('GET', KEYS[2])")), 1);
    assert_eq!(complaints(&RIGHT.replace("Returns", "Gives")), 1);
    assert_eq!(complaints("local a = KEYS[1]"), 4);
    assert_eq!(unclear_lua(&File::of("src/store/redis/lua/lib.lua", "-- Shared.\nlocal a = 1")).len(), 0);
}

// The project stands on its own: nothing in it names the machine that it was written on.

fn names_a_machine(file: &File) -> Vec<String> {
    // Each in two pieces, since this file is looked at too.
    const PLACES: [&str; 5] = [
        concat!("/wo", "rk/"),
        concat!("../sha", "red"),
        concat!("/ro", "ot/"),
        concat!("index.crates", ".io"),
        concat!("static.crates", ".io"),
    ];
    let mut complaints: Vec<_> =
        PLACES.iter().filter(|place| file.text.contains(*place)).map(|place| format!("names {place}")).collect();
    if file.path == "Cargo.lock" {
        let public = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        let others = file.text.lines().filter(|line| line.starts_with("source = ") && *line != public);
        complaints.extend(others.map(|line| format!("not from the public registry: {line}")));
    }
    complaints
}

#[test]
fn the_project_stands_on_its_own() {
    check(|_| true, names_a_machine);
}

#[test]
fn the_name_of_a_machine_is_found() {
    assert_eq!(names_a_machine(&File::of("a.md", concat!("see /wo", "rk/main"))).len(), 1);
    assert_eq!(names_a_machine(&File::of("Cargo.lock", "source = \"registry+https://mirror.example\"")).len(), 1);
    assert!(names_a_machine(&File::of("a.md", "a network/worker, shared")).is_empty());
}

// The page on faults names each of their tests, and no other.

/// The tests in a file of `tests/it/faults`, and those that a page names, as `faults::file::test`.
fn fault_tests(file: &File) -> Vec<String> {
    let module = file.path.rsplit('/').next().unwrap().trim_end_matches(".rs");
    let after = file.text.split("#[tokio::test]\nasync fn ").skip(1);
    after.map(|rest| format!("faults::{module}::{}", rest.split('(').next().unwrap())).collect()
}

fn named_tests(page: &str) -> Vec<String> {
    let codes = page.split('`').skip(1).step_by(2);
    codes.filter(|code| code.starts_with("faults::")).map(str::to_owned).collect()
}

#[test]
fn the_page_on_faults_names_each_of_their_tests() {
    let files = files();
    let page = files.iter().find(|file| file.path == "docs/reliability.md").expect("the page");
    let mut named = named_tests(&page.text);
    let mut there: Vec<_> =
        files.iter().filter(|file| file.path.starts_with("tests/it/faults/")).flat_map(fault_tests).collect();
    named.sort();
    there.sort();
    assert_eq!(named, there);
}

#[test]
fn a_test_of_a_fault_is_found_and_so_is_its_name() {
    let file = File::of("tests/it/faults/a.rs", "#[tokio::test]\nasync fn it_holds() {}\nasync fn helps() {}");
    assert_eq!(fault_tests(&file), ["faults::a::it_holds"]);
    assert_eq!(named_tests("| a `kill -9` | `faults::a::it_holds` | faults::b |"), ["faults::a::it_holds"]);
}

// Which branch of a `select!` runs is never a matter of chance: the simulation replays histories.

fn left_to_chance(file: &File) -> Vec<String> {
    let code: String = file.code().flat_map(|(_, line)| [line, "\n"]).collect();
    let selects = code.match_indices("select!").map(|(at, _)| (at, &code[at..]));
    selects
        .filter(|(_, rest)| !rest.split_once('{').is_some_and(|(_, body)| body.trim_start().starts_with("biased;")))
        .map(|(at, _)| format!("line {}: select! without biased;", code[..at].lines().count()))
        .collect()
}

#[test]
fn no_select_is_left_to_chance() {
    check(source, left_to_chance);
}

#[test]
fn a_select_left_to_chance_is_found() {
    let wrong = "a\ntokio::select! { biased; _ = b => {} }\ntokio::select! {\n    _ = b => {}\n}";
    assert_eq!(left_to_chance(&File::of("src/a.rs", wrong)), ["line 3: select! without biased;"]);
    let right = "// A select! of old.\ntokio::select! {\n    // Why.\n    biased;\n    _ = b => {}\n}";
    assert!(left_to_chance(&File::of("src/a.rs", right)).is_empty());
}

// Only commands print; everything else says it through a signal.

const COMMANDS: [&str; 2] = ["src/main", "src/command"];

fn prints(file: &File) -> Vec<String> {
    const PRINTERS: [&str; 5] = ["println", "print", "eprintln", "eprint", "dbg"];
    lines(file, "a log line is a signal's", |line| {
        PRINTERS.iter().any(|name| has_word(line, name) && line.contains(&format!("{name}!")))
    })
}

#[test]
fn only_commands_print() {
    check(|file| source(file) && !COMMANDS.iter().any(|command| file.is_below(command)), prints);
}

#[test]
fn printing_is_found() {
    assert_eq!(prints(&File::of("src/a.rs", "println!(\"a\");\ndbg!(a);")).len(), 2);
    assert!(prints(&File::of("src/a.rs", "// println!\nlet blueprint = fingerprint!();")).is_empty());
}

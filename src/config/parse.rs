//! How single values are written: durations, sizes, lists, names. Pure; each answers with what is wrong in words.

use std::time::Duration;

/// Most entries of a list, whatever it lists.
pub const LIST_ENTRIES_MAX: usize = 256;

/// Reads `250ms`, `5s`, `30m`, `72h` or `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write it like 250ms, 5s, 30m or 72h");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit_ms).map(Duration::from_millis).ok_or_else(|| format!("{text:?} is too long"))
}

/// Writes a duration as [`duration`] reads it.
pub fn spell(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.into_iter().find(|(unit_ms, _)| ms > 0 && ms.is_multiple_of(*unit_ms));
    unit.map_or_else(|| format!("{ms}ms"), |(unit_ms, name)| format!("{}{name}", ms / unit_ms))
}

/// Reads bytes: `262144`, `512KiB`, `64MiB` or `2GiB`.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size; write bytes, or like 512KiB, 64MiB or 2GiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit: u64 = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(|| format!("{text:?} is too large"))
}

/// Reads a whole number.
pub fn count(text: &str) -> Result<u64, String> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if plain { text.parse().ok() } else { None };
    number.ok_or_else(|| format!("{text:?} is not a whole number"))
}

/// Reads `true` or `false`.
pub fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Splits at commas, and at the ends of lines where a file lists one a line. Empty entries are none.
pub fn list(text: &str) -> Result<Vec<&str>, String> {
    let entries: Vec<_> = text.split([',', '\n']).map(str::trim).filter(|entry| !entry.is_empty()).collect();
    match entries.len() {
        0 => Err("the list has no entries".to_owned()),
        1..=LIST_ENTRIES_MAX => Ok(entries),
        more => Err(format!("{more} entries are too many; at most {LIST_ENTRIES_MAX}")),
    }
}

/// Reads one of some words.
pub fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        format!("{text:?} is none of {}", known.join(", "))
    })
}

/// Checks a name: 1 to `max` bytes of `A-Z a-z 0-9` and some other characters.
pub fn name<'a>(text: &'a str, max: usize, others: &str) -> Result<&'a str, String> {
    let clean = text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
    if clean && (1..=max).contains(&text.len()) {
        return Ok(text);
    }
    let others: Vec<_> = others.chars().map(String::from).collect();
    Err(format!("{text:?} is not a name; 1 to {max} of A-Z a-z 0-9 {}", others.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_with_one_unit() {
        let read: Vec<_> =
            ["250ms", "5s", "30m", "72h", "7d", "0s"].map(duration).into_iter().map(Result::ok).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(read, [ms(250), ms(5_000), ms(1_800_000), ms(259_200_000), ms(604_800_000), ms(0)]);
        for wrong in ["", "5", "s", "5 s", "-5s", "1.5s", "5sec", "1h30m", "5S", "99999999999999999h", "٥s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_duration_is_spelled_as_it_is_read() {
        for text in ["250ms", "5s", "30m", "72h", "90s", "0ms", "1500ms"] {
            assert_eq!(duration(&spell(duration(text).expect("valid"))), duration(text), "{text}");
        }
        assert_eq!(spell(Duration::from_secs(90)), "90s");
    }

    #[test]
    fn sizes_are_bytes_or_binary_units() {
        assert_eq!(["262144", "512KiB", "64MiB", "2GiB"].map(size), [262_144, 512 << 10, 64 << 20, 2 << 30].map(Ok));
        for wrong in ["", "MiB", "64MB", "64 MiB", "1.5MiB", "-1", "64mib", "99999999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn lists_are_split_at_commas_and_trimmed() {
        assert_eq!(list(" a, b,\nc\n").expect("valid"), ["a", "b", "c"]);
        assert!(list(",").is_err());
        assert!(list(&"a,".repeat(LIST_ENTRIES_MAX)).is_ok());
        assert!(list(&"a,".repeat(LIST_ENTRIES_MAX + 1)).is_err());
    }

    #[test]
    fn a_wrong_word_is_answered_with_the_right_ones() {
        let said = word("disc", &[("memory", 1), ("disk", 2)]).expect_err("wrong");
        assert_eq!(said, "\"disc\" is none of memory, disk");
    }
}

//! What was given on the command line, in the environment and in files, before anything is believed of it.
//!
//! Clap only finds the values; every check is ours, so that each wrong value, whoever notices it, ends in the same
//! one line. Rejected: clap's own value parsers, which know neither that an empty value is none nor that a secret
//! must not be repeated, and which answer with a paragraph.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use clap::parser::ValueSource;

use super::parse;
use super::table::{Opt, SERVE, Section};

/// The largest file that a value is read from.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// A wrong value: one line that names the option, never a secret. Exit status 2.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{option}: {problem}")]
pub struct ConfigError {
    /// Flag and variable, or two of them that contradict each other.
    pub option: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl ConfigError {
    /// A problem with the option of this flag, found by whoever came to use its value.
    pub fn of(name: &str, problem: impl fmt::Display) -> Self {
        // A foreign parser's message may have several lines; ours has one.
        let problem = problem.to_string().split(char::is_control).collect::<Vec<_>>().join(" ");
        Self { option: option(name).title(), problem }
    }
}

/// A secret, or what may hold one: it cannot be printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Sensitive(String);

impl Sensitive {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sensitive")
    }
}

/// Values by the names of their flags, as they were given. Not printable: secrets are among them.
#[derive(Clone, Default)]
pub struct Given(BTreeMap<String, OsString>);

impl Given {
    /// Values by the names of their flags without dashes: for a wiring that is not the command line's.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }

    /// Sets values by the names of their flags, in the place of what was given, also by a file.
    pub(super) fn set<'a>(&mut self, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (name, value) in pairs {
            self.0.remove(&file_name(option(name)));
            self.0.insert(name.to_owned(), value.into());
        }
    }

    /// The environment that gives the same.
    pub(super) fn environment(&self) -> impl Iterator<Item = (String, &OsStr)> {
        self.0.iter().map(|(name, value)| (env_of(name), value.as_os_str()))
    }

    /// The arguments of these sections.
    pub(super) fn augment(mut command: clap::Command, sections: &[&'static Section]) -> clap::Command {
        for section in sections {
            for option in section.options {
                command = command.arg(argument(option).help_heading(section.heading));
                if option.file {
                    command = command.arg(file_argument(option));
                }
            }
        }
        command
    }

    /// What clap found of these sections.
    pub(super) fn take(matches: &clap::ArgMatches, sections: &[&'static Section]) -> Self {
        let options = sections.iter().flat_map(|section| section.options);
        let names = options.flat_map(|option| [Some(option.name.to_owned()), option.file.then(|| file_name(option))]);
        let mut given = Self::default();
        for name in names.flatten() {
            let default = matches.value_source(&name) == Some(ValueSource::DefaultValue);
            let value = matches.get_one::<OsString>(&name).filter(|value| !default && !value.is_empty());
            // An empty flag is as good as none, and then the environment counts.
            let value = value.cloned().or_else(|| std::env::var_os(env_of(&name)).filter(|value| !value.is_empty()));
            given.0.extend(value.map(|value| (name, value)));
        }
        given
    }

    /// An option's value as text, from wherever it was given, else its default.
    pub fn text(&self, name: &str) -> Result<Option<String>, ConfigError> {
        let option = option(name);
        let value = self.plain(name, name)?;
        let file = if option.file { self.plain(&file_name(option), name)? } else { None };
        match (value, file) {
            (Some(_), Some(_)) => {
                let both = format!("{} and {} are both set; keep one", option.env(), env_of(&file_name(option)));
                Err(ConfigError::of(name, both))
            }
            (Some(value), None) => Ok(Some(value)),
            (None, Some(file)) => match read(Path::new(&file)) {
                Ok(value) => Ok(value.or_else(|| option.default.map(str::to_owned))),
                Err(problem) => Err(ConfigError::of(name, format!("{file:?} {problem}"))),
            },
            (None, None) => Ok(option.default.map(str::to_owned)),
        }
    }

    /// An option that need not be given, read by `parse`.
    pub fn maybe<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let text = self.text(name)?;
        text.map(|text| parse(&text).map_err(|problem| ConfigError::of(name, problem))).transpose()
    }

    /// An option with a default, read by `parse`.
    pub fn need<T>(&self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, ConfigError> {
        self.maybe(name, parse)?.ok_or_else(|| ConfigError::of(name, "is missing"))
    }

    /// A list, each entry read by `parse`; empty where none was given.
    pub fn list<T>(&self, name: &str, parse: impl FnMut(&str) -> Result<T, String>) -> Result<Vec<T>, ConfigError> {
        let list = self.maybe(name, |text| parse::list(text)?.into_iter().map(parse).collect())?;
        Ok(list.unwrap_or_default())
    }

    /// A number inside a range.
    pub fn count<T>(&self, name: &str, range: RangeInclusive<u64>) -> Result<T, ConfigError>
    where
        T: TryFrom<u64>,
    {
        self.number(name, parse::count, range)
    }

    /// A size in bytes inside a range.
    pub fn size<T>(&self, name: &str, range: RangeInclusive<u64>) -> Result<T, ConfigError>
    where
        T: TryFrom<u64>,
    {
        self.number(name, parse::size, range)
    }

    /// A duration inside a range.
    pub fn duration(&self, name: &str, range: RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
        self.need(name, |text| lasting(text, &range))
    }

    fn number<T: TryFrom<u64>>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<u64, String>,
        range: RangeInclusive<u64>,
    ) -> Result<T, ConfigError> {
        self.need(name, |text| {
            let number = Some(parse(text)?).filter(|number| range.contains(number));
            let number = number.and_then(|number| T::try_from(number).ok());
            number.ok_or_else(|| format!("{text} is out of range; {} to {}", range.start(), range.end()))
        })
    }

    fn plain(&self, name: &str, shown: &str) -> Result<Option<String>, ConfigError> {
        let value = self.0.get(name).filter(|value| !value.is_empty());
        let text =
            value.map(|value| value.to_str().map(str::trim).ok_or_else(|| ConfigError::of(shown, "is not UTF-8")));
        Ok(text.transpose()?.filter(|text| !text.is_empty()).map(str::to_owned))
    }
}

/// Reads a duration inside a range.
pub(super) fn lasting(text: &str, range: &RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = parse::duration(text)?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    Err(format!("{text} is out of range; {} to {}", parse::spell(*range.start()), parse::spell(*range.end())))
}

/// The table's row of this name.
fn option(name: &str) -> &'static Opt {
    let mut options = SERVE.iter().flat_map(|section| section.options);
    options.find(|option| option.name == name).expect("only options of the table are asked for")
}

fn argument(option: &Opt) -> clap::Arg {
    let mut help = option.help.to_owned();
    if option.file {
        help.push_str(&format!(" [or in a file: {}]", env_of(&file_name(option))));
    }
    let mut argument = bare_argument(option.name.to_owned(), option.env()).help(help).value_name(option.value);
    if let Some(default) = option.default {
        argument = argument.default_value(default);
    }
    if option.value == "BOOL" {
        argument = argument.num_args(0..=1).default_missing_value("true");
    }
    argument
}

fn file_argument(option: &Opt) -> clap::Arg {
    let name = file_name(option);
    bare_argument(name.clone(), env_of(&name)).value_name("FILE").hide(true)
}

fn bare_argument(name: String, env: String) -> clap::Arg {
    let argument = clap::Arg::new(name.clone()).long(name).env(env);
    // Values of the environment stay out of the help: some are secrets.
    argument.hide_env_values(true).value_parser(clap::value_parser!(OsString))
}

fn file_name(option: &Opt) -> String {
    format!("{}-file", option.name)
}

fn env_of(name: &str) -> String {
    let plain = name.strip_suffix("-file").and_then(|name| {
        let mut options = SERVE.iter().flat_map(|section| section.options);
        options.find(|option| option.file && option.name == name)
    });
    plain.map_or_else(|| option(name).env(), |option| format!("{}_FILE", option.env()))
}

/// A file's text without the space around it; `None` when nothing is left.
fn read(path: &Path) -> Result<Option<String>, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

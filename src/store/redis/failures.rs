//! What an error of the client or the server means to whoever asked.
//!
//! Refused is only what is known to be about the very operation, since whoever is refused an event for good puts it
//! aside: a script that failed on its input, a key of the wrong type, keys of several slots. The server's general `ERR`
//! says too little (`ERR max number of clients reached` is one), so it counts only where a script raised it. All else,
//! codes that no release of ours knows among it, hits every operation alike and passes when somebody repairs it.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::StoreError;

/// How servers end an error that a script raised: `… script: <hash>, on @user_script:<line>.`
const RAISED_BY_A_SCRIPT: &str = ", on @user_script:";
/// How they say that somebody ended a script, which is not its input's fault.
const ENDED_BY_SOMEBODY: &str = "Script killed by user";

pub(super) fn failure(error: RedisError) -> StoreError {
    let text = error.to_string();
    let on_its_input = text.contains(RAISED_BY_A_SCRIPT) && !text.contains(ENDED_BY_SOMEBODY);
    match error.code() {
        Some("OOM") => StoreError::Full(text),
        Some("NOREPLICAS") => StoreError::NotDurable(text),
        Some("WRONGTYPE" | "CROSSSLOT") => StoreError::Refused(text),
        Some("ERR") if on_its_input => StoreError::Refused(text),
        _ => StoreError::Unavailable(text),
    }
}

/// As [`failure`]; but who may not do at the beginning what the service needs is told so for good.
pub(super) fn refusal(error: RedisError) -> StoreError {
    let forbidden = is_forbidden(&error);
    if forbidden { StoreError::Refused(format!("the server does not allow it: {error}")) } else { failure(error) }
}

/// Whether somebody has to change a password or a permission first.
pub(super) fn is_forbidden(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm) | ErrorKind::AuthenticationFailed)
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}

/// Whether the server answered and does not let itself be asked this: it may not be, or there is no such command.
pub(super) fn is_not_to_be_asked(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm))
        || error.code() == Some("ERR") && error.to_string().to_lowercase().contains("unknown ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error that a line of the server's becomes.
    fn error(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("it is RESP");
        value.extract_error().expect_err("it is an error")
    }

    #[test]
    fn only_what_is_about_the_operation_is_refused() {
        const BY_A_SCRIPT: &str = "script: 3b9f2c, on @user_script:12.";
        let refused = [
            &format!("ERR user_script:12: attempt to index a nil value {BY_A_SCRIPT}"),
            &format!("WRONGTYPE Operation against a key holding the wrong kind of value {BY_A_SCRIPT}"),
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "CROSSSLOT Keys in request don't hash to the same slot",
        ];
        let full = [
            "OOM command not allowed when used memory > 'maxmemory'.",
            &format!("OOM command not allowed when used memory > 'maxmemory'. {BY_A_SCRIPT}"),
        ];
        let unavailable = [
            "ERR max number of clients reached",
            "ERR unknown command 'EVALSHA', with args beginning with: ",
            "ERR Error compiling script (new function): user_script:3: '=' expected near 'x'",
            "ERR Protocol error: invalid multibulk length",
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
            &format!("ERR Error running script: Script killed by user with SCRIPT KILL. {BY_A_SCRIPT}"),
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            &format!("READONLY You can't write against a read only replica. {BY_A_SCRIPT}"),
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            "CLUSTERDOWN The cluster is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "MOVED 3999 127.0.0.1:6381",
            "ASK 3999 127.0.0.1:6381",
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
            "UNBLOCKED force unblock from blocking operation",
            "NOAUTH Authentication required.",
            "NOPERM User default has no permissions to run the 'evalsha' command",
            "NEWCODE of a release to come",
        ];
        for line in refused {
            assert!(matches!(failure(error(line)), StoreError::Refused(_)), "{line}");
        }
        for line in full {
            assert!(matches!(failure(error(line)), StoreError::Full(_)), "{line}");
        }
        let lagging = error("NOREPLICAS Not enough good replicas to write.");
        assert!(matches!(failure(lagging), StoreError::NotDurable(_)));
        for line in unavailable {
            assert!(matches!(failure(error(line)), StoreError::Unavailable(_)), "{line}");
        }
    }

    #[test]
    fn a_connection_that_breaks_is_nobodys_fault() {
        let broken = RedisError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(matches!(failure(broken), StoreError::Unavailable(_)));
    }

    #[test]
    fn at_the_beginning_who_may_not_is_told_for_good() {
        for line in ["NOAUTH Authentication required.", "NOPERM no permissions", "WRONGPASS invalid username"] {
            assert!(matches!(refusal(error(line)), StoreError::Refused(_)), "{line}");
        }
        let busy = refusal(error("ERR max number of clients reached"));
        assert!(matches!(busy, StoreError::Unavailable(_)));
    }

    #[test]
    fn a_question_that_is_not_to_be_asked_is_told_from_a_server_in_trouble() {
        for line in ["ERR unknown command 'CONFIG'", "ERR Unknown subcommand or wrong number", "NOPERM no permissions"]
        {
            assert!(is_not_to_be_asked(&error(line)), "{line}");
        }
        for line in ["ERR max number of clients reached", "LOADING Redis is loading"] {
            assert!(!is_not_to_be_asked(&error(line)), "{line}");
        }
    }
}

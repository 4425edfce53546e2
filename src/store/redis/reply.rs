//! Reading what scripts answer. A reply of another shape than the script's header says is a fault of ours or of the
//! server's, never data: it is [`StoreError::Refused`], with the shape it has.

use redis::Value;

use crate::store::{Result, StoreError};

/// The elements of an array.
pub(super) fn list(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(list) => Ok(list),
        Value::Nil => Ok(Vec::new()),
        other => Err(strange(&other)),
    }
}

/// The elements of an array with a number of them that is known.
pub(super) fn exactly<const N: usize>(value: Value) -> Result<[Value; N]> {
    list(value)?.try_into().map_err(|list: Vec<Value>| strange(&Value::Array(list)))
}

/// A text as bytes.
pub(super) fn bytes(value: Value) -> Result<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        Value::Int(number) => Ok(number.to_string().into_bytes()),
        Value::Okay => Ok(b"OK".to_vec()),
        other => Err(strange(&other)),
    }
}

/// A text.
pub(super) fn text(value: Value) -> Result<String> {
    String::from_utf8(bytes(value)?).map_err(|error| StoreError::Refused(format!("the store answers {error}")))
}

/// A text that may be missing.
pub(super) fn text_if(value: Value) -> Result<Option<String>> {
    match value {
        Value::Nil => Ok(None),
        value => text(value).map(Some),
    }
}

/// A number that is not negative, as an integer or a text.
pub(super) fn number(value: Value) -> Result<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| strange(&Value::Int(number))),
        Value::Nil => Ok(0),
        value => {
            let text = text(value)?;
            text.parse().map_err(|_| StoreError::Refused(format!("the store answers {text:?} for a number")))
        }
    }
}

/// A number that fits 32 bits.
pub(super) fn small(value: Value) -> Result<u32> {
    let number = number(value)?;
    u32::try_from(number).map_err(|_| StoreError::Refused(format!("the store answers {number}, which is too much")))
}

/// A number that is an index or a count here.
pub(super) fn index(value: Value) -> Result<usize> {
    let number = number(value)?;
    usize::try_from(number).map_err(|_| StoreError::Refused(format!("the store answers {number}, which is too much")))
}

/// Says that a reply has not the shape it should.
pub(super) fn strange(value: &Value) -> StoreError {
    let kind = match value {
        Value::Array(list) => format!("an array of {}", list.len()),
        Value::BulkString(bytes) => format!("a text of {} bytes", bytes.len()),
        other => format!("{other:?}"),
    };
    StoreError::Refused(format!("the store answers {kind} where something else belongs"))
}

/// Says what is wrong with a text that the store holds.
pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Refused(format!("the store holds {what} that cannot be read"))
}

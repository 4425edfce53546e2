//! From a leased lane to the receiver: one signed POST at a time, and only to where it may go.

pub mod guard;
pub mod send;
pub mod sign;

//! Tests of whole parts.

mod store;

//! The API on real servers: its document, and what crosses more than HTTP and the store. Every single row of it is held on
//! both stores by `tests/operate.rs`.

mod asyncapi;
mod document;
mod file;
mod rejected;
mod sending;

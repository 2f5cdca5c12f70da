//! Fuzz targets for every parser of foreign bytes, and what drives them without coverage.
//!
//! A target is a plain function of bytes: it may answer anything, but must not panic, overflow the stack
//! or run for long. [`targets::all`] lists them; `make fuzz SECONDS=n` runs all of them for n seconds, and
//! libFuzzer can call the same functions (`fuzz_target!(|data: &[u8]| { (target.run)(data); })`).

pub mod corpus;
pub mod driver;
pub mod mutate;
pub mod targets;

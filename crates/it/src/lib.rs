//! Tests of the whole: real clients against the real thing, in one binary.

//! The `kiban` binary: everything it does is in `kiban-app`.

fn main() {}

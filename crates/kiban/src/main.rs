//! The `kiban` binary: everything it does is in `kiban-app`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kiban_app::main()
}

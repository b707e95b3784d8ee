use std::process::ExitCode;

use versus_raw::Raw;

fn main() -> ExitCode {
    common::conclude(Raw::connect().and_then(|mut raw| raw.cycle()))
}

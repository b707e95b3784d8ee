use std::process::ExitCode;

fn main() -> ExitCode {
    common::cold::<versus_dynolock::Dynolock>()
}

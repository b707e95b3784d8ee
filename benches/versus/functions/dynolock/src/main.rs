use std::process::ExitCode;

fn main() -> ExitCode {
    handler::serve::<versus_dynolock::Dynolock>()
}

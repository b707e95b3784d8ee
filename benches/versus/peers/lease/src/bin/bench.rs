use std::process::ExitCode;

fn main() -> ExitCode {
    common::bench::<versus_lease::DynamodbLease>()
}

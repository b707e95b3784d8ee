//! Programs of `examples/`, as they stand.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// All features, and which of them this test is built with.
pub const FEATURES: [(&str, bool); 19] = [
    ("default", cfg!(feature = "default")),
    ("ring", cfg!(feature = "ring")),
    ("aws-lc-rs", cfg!(feature = "aws-lc-rs")),
    ("webpki-roots", cfg!(feature = "webpki-roots")),
    ("native-roots", cfg!(feature = "native-roots")),
    ("tls12", cfg!(feature = "tls12")),
    ("proxy", cfg!(feature = "proxy")),
    ("credentials-all", cfg!(feature = "credentials-all")),
    (
        "credentials-web-identity",
        cfg!(feature = "credentials-web-identity"),
    ),
    ("credentials-profile", cfg!(feature = "credentials-profile")),
    ("credentials-process", cfg!(feature = "credentials-process")),
    (
        "credentials-container",
        cfg!(feature = "credentials-container"),
    ),
    ("credentials-imds", cfg!(feature = "credentials-imds")),
    ("tracing", cfg!(feature = "tracing")),
    ("serde", cfg!(feature = "serde")),
    ("cli", cfg!(feature = "cli")),
    ("__chain", cfg!(feature = "__chain")),
    ("__tls", cfg!(feature = "__tls")),
    ("__internals", cfg!(feature = "__internals")),
];

/// Builds these programs as the test was built; gives the folder that they are in. With `--test`
/// `cargo test` leaves examples as they were, and with none builds them before: then this only finds
/// them fresh.
pub fn built(names: &[&str]) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    // <target folder>/<profile>/deps/<test>
    let folder = test.parent().and_then(Path::parent).expect("a folder");
    let target = folder.parent().expect("a target folder");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        // In the folder of `dev`, and what `cargo test` takes for examples as well.
        Some("debug") => "test",
        other => other.expect("a profile"),
    };
    let features = FEATURES.iter().filter(|(_, is_on)| *is_on);
    let features: Vec<_> = features.map(|(name, _)| *name).collect();

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--profile", profile])
        .args(["--no-default-features", "--features", &features.join(",")])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .stdin(Stdio::null());
    for name in names {
        command.args(["--example", name]);
    }
    // What cargo tells the test about its package. A build script that looks at it would run anew,
    // now and when the next test is built.
    for (name, _) in std::env::vars_os() {
        let told = name.to_str().is_some_and(|name| {
            let of_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
            let names = ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];
            of_package.iter().any(|start| name.starts_with(start)) || names.contains(&name)
        });
        if told {
            command.env_remove(name);
        }
    }
    let output = command.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{names:?}: {said}");
    folder.join("examples")
}

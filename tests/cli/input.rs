//! Bad input: a clear line, status 64, 126 or 127, and nothing is sent.

use crate::stage::{Stage, said};

#[tokio::test]
async fn malformed_arguments_are_refused_before_anything_is_sent() {
    let stage = Stage::new().await;
    let table = stage.scene.table.clone();
    let long = "x".repeat(3000);
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (vec![], "Usage"),
        (vec!["walk"], "walk"),
        (vec!["run"], "--table"),
        (vec!["run", "-t", &table, "--", "true"], "--key"),
        (vec!["run", "-t", &table, "-k", "id=a"], "COMMAND"),
        (
            vec!["run", "-t", &table, "-k", "id", "--", "true"],
            "there is no `=`",
        ),
        (
            vec!["run", "-t", &table, "-k", "id=", "--", "true"],
            "empty",
        ),
        (
            vec!["run", "-t", &table, "-k", "n:id=x", "--", "true"],
            "no number",
        ),
        (
            vec!["run", "-t", &table, "-k", "b:id=!", "--", "true"],
            "not base64",
        ),
        (
            vec!["run", "-t", &table, "-k", &long, "--", "true"],
            "there is no `=`",
        ),
        (
            vec!["run", "-t", "x", "-k", "id=a", "--", "true"],
            "table: must be 3 to 255",
        ),
        (vec!["run", "-t", "", "-k", "id=a", "--", "true"], "--table"),
        (
            vec![
                "run",
                "-t",
                &table,
                "-k",
                "id=a",
                "--sort-key",
                "id=b",
                "--",
                "true",
            ],
            "another name",
        ),
        (
            vec![
                "run",
                "-t",
                &table,
                "-k",
                "id=a",
                "--timeout",
                "5",
                "--",
                "true",
            ],
            "the unit is missing",
        ),
        (
            vec![
                "run",
                "-t",
                &table,
                "-k",
                "id=a",
                "--timeout",
                "5x",
                "--",
                "true",
            ],
            "`x` is unknown",
        ),
        (
            vec![
                "run",
                "-t",
                &table,
                "-k",
                "id=a",
                "--timeout",
                "-5s",
                "--",
                "true",
            ],
            "--timeout",
        ),
        (
            vec![
                "run",
                "-t",
                &table,
                "-k",
                "id=a",
                "--timeout",
                "0s",
                "--",
                "true",
            ],
            "timeout: ",
        ),
        (
            vec![
                "run", "-t", &table, "-k", "id=a", "--lease", "1ms", "--", "true",
            ],
            "lease: ",
        ),
        (
            vec![
                "run",
                "-t",
                &table,
                "-k",
                "id=a",
                "--lease",
                "1s",
                "--heartbeat",
                "2s",
                "--",
                "true",
            ],
            "--heartbeat 2s must be shorter than --lease 1s",
        ),
        (
            vec![
                "run", "-t", &table, "-k", "id=a", "--grace", "9s", "--", "true",
            ],
            "--grace 9s must be shorter",
        ),
        (
            vec!["run", "-t", &table, "-k", "id=a", "-E", "256", "--", "true"],
            "0 to 255",
        ),
        (
            vec!["run", "-t", &table, "-k", "id=a", "-E", "x", "--", "true"],
            "0 to 255",
        ),
        (
            vec![
                "run",
                "-t",
                &table,
                "-k",
                "id=a",
                "--no-wait",
                "--timeout",
                "1s",
                "--",
                "true",
            ],
            "--timeout",
        ),
        (
            vec![
                "run",
                "-t",
                &table,
                "-k",
                "id=a",
                "--existing-only",
                "--delete-on-release",
                "--",
                "true",
            ],
            "--delete-on-release",
        ),
        (
            vec![
                "run", "-t", &table, "-k", "id=a", "--owner", "a\nb", "--", "true",
            ],
            "owner: ",
        ),
        (
            vec![
                "run",
                "-t",
                &table,
                "-k",
                "id=a",
                "--endpoint-url",
                "ftp://x",
                "--",
                "true",
            ],
            "endpoint",
        ),
        (
            vec![
                "run", "-t", &table, "-k", "id=a", "--region", "a/b", "--", "true",
            ],
            "region",
        ),
        (
            vec![
                "run",
                "-t",
                &table,
                "-k",
                "id=a",
                "--profile",
                "nobody",
                "--",
                "true",
            ],
            "nobody",
        ),
        (
            vec![
                "release",
                "-t",
                &table,
                "-k",
                "id=a",
                "--force",
                "--version",
                "v",
            ],
            "--expires",
        ),
        (
            vec![
                "release",
                "-t",
                &table,
                "-k",
                "id=a",
                "--force",
                "--version",
                "v",
                "--expires",
                "soon",
            ],
            "nanoseconds",
        ),
        (vec!["table"], "Usage"),
        (vec!["table", "create", "-t", &table], "--partition-key"),
        (
            vec!["table", "create", "-t", &table, "--partition-key", "id:X"],
            "S, N or B",
        ),
        (vec!["completions", "cmd"], "cmd"),
        (
            vec!["--local", "run", "-t", &table, "-k", "id=a", "--", "true"],
            "--local stands alone",
        ),
        (vec!["--local", "man"], "--local stands alone"),
    ];
    for (words, expected) in cases {
        let done = said(stage.bare(&words)).await;
        // A profile is a source of credentials.
        let status = if words.contains(&"--profile") { 69 } else { 64 };
        assert_eq!(done.status, status, "{words:?}: {done:?}");
        assert!(done.err.contains(expected), "{words:?}: {done:?}");
        assert_eq!(done.out, "", "{words:?}");
    }
    assert_eq!(stage.scene.proxy.requests().len(), 0);
}

#[tokio::test]
async fn a_command_that_cannot_run_asks_for_no_lock() {
    let stage = Stage::new().await;
    std::fs::write(stage.file("data"), "x").expect("a file");
    for (program, status) in [
        ("no-such-command", 127),
        ("./no-such-file", 127),
        ("", 127),
        ("./data", 126),
        ("/", 126),
    ] {
        let done = stage.said("run", &["--", program]).await;
        assert_eq!(done.status, status, "{done:?}");
        assert_eq!(done.err.lines().count(), 1, "{done:?}");
    }
    assert_eq!(stage.scene.proxy.requests().len(), 0);
    // What only the start shows gives the lock back.
    let script = stage.file("script");
    for (text, status) in [
        ("#!/no/such/interpreter\n", 127),
        ("\u{7f}ELF\0\0\0\0", 126),
        // Without an interpreter, it is for the shell, as in a shell.
        ("exit 3", 3),
    ] {
        std::fs::write(&script, text).expect("a file");
        let mode = std::process::Command::new("chmod")
            .arg("+x")
            .arg(&script)
            .status();
        assert!(mode.expect("chmod").success());
        let done = stage.said("run", &["--", "./script"]).await;
        assert_eq!(done.status, status, "{done:?}");
        assert_eq!(stage.expires().await, 0, "released");
    }
}

#[tokio::test]
async fn help_teaches_by_example() {
    let stage = Stage::new().await;
    for words in [
        vec!["--help"],
        vec!["-h"],
        vec!["run", "--help"],
        vec!["status", "--help"],
        vec!["wait", "-h"],
        vec!["release", "--help"],
        vec!["table", "create", "--help"],
        vec!["table", "check", "--help"],
        vec!["completions", "--help"],
    ] {
        let done = said(stage.bare(&words)).await;
        assert_eq!((done.status, done.err.as_str()), (0, ""), "{words:?}");
        assert!(
            done.out.contains("Example") && done.out.contains("dynolock "),
            "{words:?}"
        );
    }
    let help = said(stage.bare(&["--help"])).await.out;
    for status in ["64", "69", "71", "74", "75", "126, 127"] {
        assert!(help.contains(status), "{status}");
    }
    let version = said(stage.bare(&["--version"])).await;
    assert_eq!(
        version.out,
        format!("dynolock {}\n", env!("CARGO_PKG_VERSION"))
    );
    let local = said(stage.bare(&["--local"])).await;
    assert_eq!(local.status, 0);
    for word in [
        "docker run",
        "java",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "table create",
    ] {
        assert!(local.out.contains(word), "{word}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = said(stage.bare(&["completions", shell])).await;
        assert_eq!(script.status, 0);
        assert!(
            script.out.contains("conflict-exit-code") && !script.out.contains("__guard "),
            "{shell}"
        );
    }
    let man = said(stage.bare(&["man"])).await;
    assert_eq!(man.status, 0);
    for word in [
        ".TH dynolock 1",
        "DYNOLOCK RUN",
        "DYNOLOCK TABLE CHECK",
        "Exit status",
    ] {
        assert!(man.out.contains(word), "{word}");
    }
    assert!(!man.out.contains("__guard") && !man.out.contains("\\_\\_guard"));
}

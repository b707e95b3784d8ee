//! Every entry of the corpus, on stable.

use std::fs;
use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "the corpus is files")]
fn replay(target: &str, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).expect("the corpus of the target");
    let mut replayed = 0;
    for entry in entries {
        let path = entry.expect("an entry").path();
        let data = fs::read(&path).expect("a file");
        // The test's output, which is shown where it fails, ends with the culprit.
        println!("{}", path.display());
        body(&data);
        replayed += 1;
    }
    assert!(replayed >= 10, "{replayed} seeds in {}", folder.display());
}

macro_rules! replayed {
    ($($(#[$attribute:meta])* $target:ident)+) => {$(
        $(#[$attribute])*
        #[test]
        fn $target() {
            replay(stringify!($target), super::$target::body);
        }
    )+};
}

replayed! {
    answer
    decode_value
    expression
    #[cfg(feature = "credentials-profile")]
    profile_files
    protocol
    round_trip_value
    update_expression
}

/// A target without a folder of seeds, or the other way round, is a mistake.
#[test]
fn every_target_is_built_and_has_seeds() {
    let names = |folder: &str, ending: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut names: Vec<_> = fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("a name")
            })
            .map(|name| name.trim_end_matches(ending).to_owned())
            .collect();
        names.sort();
        names
    };
    let targets = names("fuzz/fuzz_targets", ".rs");
    assert_eq!(targets, names("fuzz/corpus", ""));
    let manifest = include_str!("../../fuzz/Cargo.toml");
    for target in targets {
        assert!(
            manifest.contains(&["\nname = \"", &target, "\"\n"].concat()),
            "{target}"
        );
    }
}

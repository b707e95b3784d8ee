use super::*;

fn options() -> Options {
    Options::new("jobs".into(), ("id", "job-42").into())
}

#[test]
fn the_defaults_are_those_of_dyno() {
    let terms = options().parse().unwrap();
    assert_eq!(terms.timeout, DEFAULT_TIMEOUT);
    assert_eq!(terms.lease, DEFAULT_LEASE);
    assert_eq!(terms.heartbeat, DEFAULT_HEARTBEAT);
    assert!(terms.automatic);
}

#[test]
fn a_longer_lease_has_a_longer_heartbeat_period() {
    let mut options = options();
    options.lease = Duration::from_secs(10);
    assert_eq!(options.parse().unwrap().heartbeat, Duration::from_secs(2));
}

#[test]
fn bad_options_are_named_with_their_range() {
    let ms = Duration::from_millis;
    let named = |set: fn(&mut AttributeNames)| {
        let mut names = AttributeNames::default();
        set(&mut names);
        let names = names.into();
        Options { names, ..options() }
    };
    let cases = [
        (
            Options {
                lease: ms(0),
                ..options()
            },
            "lease: 0ns is out of range; 10ms to",
        ),
        (
            Options {
                lease: Duration::MAX,
                ..options()
            },
            "lease: ",
        ),
        (
            Options {
                heartbeat: Some(ms(500)),
                ..options()
            },
            "heartbeat: 500ms is not between 1ms and the lease of 500ms",
        ),
        (
            Options {
                heartbeat: Some(ms(0)),
                ..options()
            },
            "heartbeat: 0ns",
        ),
        (
            Options {
                heartbeat: Some(Duration::MAX),
                ..options()
            },
            "heartbeat: ",
        ),
        (
            Options {
                retry_interval: ms(0),
                ..options()
            },
            "retry interval: 0ns is out of range; 1ms to 3600s",
        ),
        (
            Options {
                retry_interval: Duration::MAX,
                ..options()
            },
            "retry interval: ",
        ),
        (
            Options {
                timeout: ms(0),
                ..options()
            },
            "timeout: 0ns is out of range; 1ms to",
        ),
        (
            Options {
                table: String::new(),
                ..options()
            },
            "table: must be 3 to 255",
        ),
        (
            Options {
                table: "x".repeat(256),
                ..options()
            },
            "table: ",
        ),
        (
            Options {
                table: "jobs!".into(),
                ..options()
            },
            "table: ",
        ),
        (
            Options {
                owner: Some(String::new()),
                ..options()
            },
            "owner: must have 1 to 256 bytes",
        ),
        (
            Options {
                owner: Some("a\nb".into()),
                ..options()
            },
            "owner: ",
        ),
        (
            Options {
                delete_on_release: true,
                existing_only: true,
                ..options()
            },
            "delete on release: cannot be combined",
        ),
        (
            named(|names| names.fence = String::new()),
            "attribute names: the attribute's name has 0 bytes; 1 to 255",
        ),
        (
            named(|names| names.fence = "x".repeat(256)),
            "attribute names: the attribute's name has 256 bytes",
        ),
        (
            named(|names| names.fence = names.owner.clone()),
            "attribute names: `dynoLockOwner` stands for two",
        ),
        (
            named(|names| names.version = "id".into()),
            "attribute names: `id` is an attribute of the key",
        ),
    ];
    for (options, expected) in cases {
        let error = options.parse().unwrap_err();
        assert!(error.is_invalid_option());
        assert!(
            error.to_string().contains(expected),
            "{error} has no {expected:?}"
        );
    }
}

#[test]
fn acquiring_leaves_a_second_before_the_deadline_or_the_length_of_the_lease() {
    let ms = Duration::from_millis;
    let now = Moment {
        wall: Wall(1_000_000_000_000_000_000),
        ..Moment::default()
    };
    // Lease, timeout, what is left; how long acquiring, and looking, may take.
    let cases = [
        (500, 1000, 2000, Some(1000), Some(1000)),
        (500, 1000, 1200, Some(700), Some(1000)),
        (500, 1000, 501, Some(1), Some(501)),
        (500, 1000, 500, Some(0), Some(500)),
        (500, 1000, 499, None, Some(499)),
        (10_000, 9000, 4000, Some(3000), Some(4000)),
        (10_000, 9000, 999, None, Some(999)),
        (10_000, 9000, 0, None, None),
    ];
    for (lease, timeout, left, acquires, looks) in cases {
        let mut options = options();
        (options.lease, options.timeout) = (ms(lease), ms(timeout));
        options.deadline = Some(now.wall.plus(ms(left)).system_time());
        let terms = options.parse().unwrap();
        let case = format!("a lease of {lease}, {left} left");
        assert_eq!(terms.patience(now).ok(), acquires.map(ms), "{case}");
        assert_eq!(terms.patience_to_look(now).ok(), looks.map(ms), "{case}");
        assert_eq!(terms.is_late(now), acquires.is_none(), "{case}");
        let longest = ms(lease).min(ms(left));
        assert_eq!(terms.longest_lease(now), longest, "{case}");
        let written = longest.max(Duration::from_nanos(1));
        assert_eq!(terms.lease_from(now, now.wall), written, "{case}");
        let half = ms(lease).min(ms(1000)) / 2;
        let attempt = ms(lease).min(ms(left).saturating_sub(half));
        assert_eq!(terms.attempt_from(now), attempt, "{case}");
    }
}

#[test]
fn an_expiry_that_counts_from_later_ends_at_the_deadline_too() {
    let ms = Duration::from_millis;
    let now = Moment::default();
    let limit = Limit(Some(now.wall.plus(ms(400))));
    // How far the expiry's time is ahead of the wall clock; how long the lease lasts.
    let cases = [(0, 400), (30, 370), (50, 350), (51, 400), (5000, 400)];
    for (ahead, lasts) in cases {
        let base = now.wall.plus(ms(ahead));
        assert_eq!(limit.cut(ms(500), now, base), ms(lasts), "{ahead} ahead");
        assert_eq!(limit.cut(ms(100), now, base), ms(100), "{ahead} ahead");
    }
}

#[test]
fn too_near_a_deadline_says_how_near_it_is() {
    let ms = Duration::from_millis;
    let now = Moment {
        wall: Wall(1_000_000_000_000_000_000),
        ..Moment::default()
    };
    let at = |wall: Wall| {
        let mut options = options();
        options.deadline = Some(wall.system_time());
        options.parse().unwrap()
    };
    let near = at(now.wall.plus(ms(120))).patience(now).unwrap_err();
    let past = at(now.wall.minus(ms(1)));
    let (past, looked) = (past.patience(now), past.patience_to_look(now));
    let ancient = at(Wall(-1)).patience(now).unwrap_err();
    let texts = [
        (
            near,
            "too little time is left before the deadline: 120ms, of 500ms that are needed",
        ),
        (
            past.unwrap_err(),
            "the deadline has passed, and 500ms are needed",
        ),
        (looked.unwrap_err(), "the deadline has passed"),
        (ancient, "the deadline has passed, and 500ms are needed"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
        assert!(error.is_deadline() && !error.is_timeout() && !error.is_held());
    }
}

#[test]
fn without_a_deadline_the_timeout_counts_alone() {
    let terms = options().parse().unwrap();
    let now = Moment::default();
    assert_eq!(terms.patience(now).unwrap(), DEFAULT_TIMEOUT);
    assert_eq!(terms.lease_from(now, now.wall), DEFAULT_LEASE);
    assert!(!terms.is_late(now));
}

#[test]
fn a_table_may_be_named_by_its_arn() {
    let mut options = options();
    options.table = "arn:aws:dynamodb:eu-west-1:123456789012:table/jobs".into();
    options.parse().unwrap();
}

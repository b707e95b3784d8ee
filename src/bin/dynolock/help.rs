//! The texts of the help. The manual page and the completions are made of the same.

use std::io::Write;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

pub(crate) const ABOUT: &str = "\
A lock on an item of a DynamoDB table, for commands: one at a time, on any number of machines.

The lock is a lease that is renewed while the command runs. It is the lock of the Rust crate dynolock \
and shares tables with it, and with Go programs that use dyno.";

pub(crate) const EXAMPLES: &str = "\
Examples:
  dynolock table create --table locks --partition-key id
  dynolock run --table locks --key id=nightly -- ./backup.sh /data
  dynolock status --table locks --key id=nightly

dynolock --help says more, dynolock SUBCOMMAND --help all about one.";

pub(crate) const MORE: &str = "\
Examples:
  dynolock table create --table locks --partition-key id
  dynolock run --table locks --key id=nightly -- ./backup.sh /data
  dynolock run --table locks --key id=deploy --no-wait -- make deploy
  dynolock run --table jobs --key tenant=acme --sort-key n:seq=7 -- ./work
  dynolock status --table locks --key id=nightly --json
  dynolock wait --table locks --key id=nightly --timeout 5m
  dynolock table check --table locks --partition-key id

Exit status:
  the command's own, or 128 + n where signal n ended it;
  64 the arguments are wrong, or do not fit the table
  69 DynamoDB or the credentials are of no use, or no answer came in time
  71 the operating system refused something
  74 the lock was lost while the command ran, or before it could start
  75 the lock is held by another, or with --existing-only there is no such item (run, wait: see \
--conflict-exit-code)
  126, 127 the command cannot be run, is not found

Region, endpoint and credentials are found as every AWS tool finds them: environment variables, \
~/.aws/config and ~/.aws/credentials, web identity, container, instance metadata.";

pub(crate) const RUN: &str = "\
Run a command while holding the lock: acquire it, run the command, release it, and exit with the \
command's status.

The command never works without the lock. Its process group gets SIGTERM --grace before a lease ends \
that could not be renewed, SIGKILL at its end, and SIGKILL at once where another has taken over. That \
holds as well where dynolock itself is killed or stopped: a small guard process, lease-guard, sees to \
it. A process that leaves the group by itself (setsid, a daemon, timeout without --foreground, bash -i, \
set -m, a dynolock run within) is beyond reach, as is one of another user.";

pub(crate) const RUN_EXAMPLES: &str = "\
Examples:
  dynolock run --table locks --key id=nightly -- ./backup.sh /data
  dynolock run --table locks --key id=deploy --no-wait -E 0 -- make deploy
  dynolock run --table jobs --key n:id=42 --timeout 30s --owner web-7 -- sh -c './a && ./b'";

pub(crate) const RUN_MORE: &str = "\
Examples:
  dynolock run --table locks --key id=nightly -- ./backup.sh /data
  dynolock run --table locks --key id=deploy --no-wait -E 0 -- make deploy
  dynolock run --table jobs --key n:id=42 --timeout 30s --owner web-7 -- sh -c './a && ./b'

The command sees DYNOLOCK_FENCING_TOKEN, which grows with every acquisition, DYNOLOCK_VERSION, \
DYNOLOCK_TABLE, DYNOLOCK_KEY and, where there is one, DYNOLOCK_SORT_KEY.

SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 and SIGWINCH are passed on to its process group; \
while the lock is waited for, all but SIGWINCH end the waiting. A signal that is ignored, as under \
nohup, stays so. Where the command dies of SIGINT, so does dynolock, and the script around it ends. What the command leaves behind in its group is ended before the lock is released: \
SIGTERM, and SIGKILL after --grace, 10 s at most. Where even that does not end it, the lock is not \
released, and ends with its lease. Ctrl-Z does not stop the command, since the lock would be lost.

In front of a pipe (| tee log) and in the background it gets the terminal when it first asks for it, and \
dynolock is in the foreground.

Where the release is not answered, it is tried for 10 s at most; then one line says so, the status is the \
command's all the same, and the lock ends with its lease.";

pub(crate) const STATUS: &str = "\
A lock whose lease is past is shown as expired, with status 0: whoever asks for it has it, once \
--max-clock-skew is past as well. In JSON, numbers that may be beyond 2^53 are texts, as in DynamoDB's own.

Examples:
  dynolock status --table locks --key id=nightly
  dynolock status --table locks --key id=nightly --json | jq -r .owner";

pub(crate) const WAIT: &str = "\
Examples:
  dynolock wait --table locks --key id=deploy && echo the deploy is over
  dynolock wait --table locks --key id=deploy --timeout 5m -E 1";

pub(crate) const RELEASE: &str = "\
Break a stuck lock, if it is still exactly as it was seen. A holder that lives renews the lock, so that \
its expiry changes, and is not broken by mistake.

The holder is not told: it goes on until its next renewal is refused. Its fencing token is out of date \
at once.";

pub(crate) const RELEASE_EXAMPLES: &str = "\
Example:
  dynolock status --table locks --key id=nightly      # shows version and expires
  dynolock release --force --table locks --key id=nightly \\
    --version 3MUpXBZ4TgdVLh6uxqu5KX0eGLD --expires 1795415039214849567";

pub(crate) const CREATE: &str = "\
A table that is there already, with this key, is left as it is.

Examples:
  dynolock table create --table locks --partition-key id
  dynolock table create --table locks --partition-key tenant:S --sort-key seq:N";

pub(crate) const CHECK: &str = "\
One line for each check, and status 1 where one of them fails. Nothing is written.

Example:
  dynolock table check --table locks --partition-key id:S";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  dynolock completions bash > ~/.local/share/bash-completion/completions/dynolock
  dynolock completions zsh > ~/.zfunc/_dynolock
  dynolock completions fish > ~/.config/fish/completions/dynolock.fish";

pub(crate) const LOCAL: &str = "\
dynolock starts no server. To try it out, run one of these, which keep their tables in memory:

  DynamoDB Local, Amazon's own, in a container:
    docker run --rm -p 8000:8000 amazon/dynamodb-local -jar DynamoDBLocal.jar -inMemory -sharedDb

  the same without a container, unpacked from Amazon's archive, with Java:
    java -Djava.library.path=./DynamoDBLocal_lib -jar DynamoDBLocal.jar -inMemory -sharedDb -port 8000

Then tell dynolock where it is. It takes any keys:

  export AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:8000
  export AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
  dynolock table create --table locks --partition-key id
  dynolock run --table locks --key id=first -- sh -c 'echo locked with token $DYNOLOCK_FENCING_TOKEN'

Amazon says where the archive is:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/DynamoDBLocal.DownloadingAndRunning.html
";

/// The script that completes arguments in a shell.
pub(crate) fn completions(command: &mut Command, shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "dynolock", &mut script);
    script
}

/// The manual page of the command, with a section for each subcommand.
pub(crate) fn man(command: Command) -> std::io::Result<Vec<u8>> {
    let mut command = command;
    command.build();
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_extra_section(&mut page)?;
    sections(&command, "dynolock", &mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

fn sections(command: &Command, parents: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    for subcommand in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        let name = format!("{parents} {}", subcommand.get_name());
        if subcommand.has_subcommands() {
            sections(subcommand, &name, page)?;
            continue;
        }
        writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
        let man = Man::new(subcommand.clone());
        let mut text = Vec::new();
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
        man.render_extra_section(&mut text)?;
        // Its sections are parts of this one.
        page.extend(
            String::from_utf8_lossy(&text)
                .replace("\n.SH ", "\n.SS ")
                .bytes(),
        );
    }
    Ok(())
}

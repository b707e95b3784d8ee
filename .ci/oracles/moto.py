"""A lock's whole life on `moto`, which checks every signature: with a key that it has issued, with
one byte of its secret changed, and with a role's temporary key."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

import boto3

from ask import Tally

EXAMPLES = os.path.dirname(os.environ["DYNOLOCK_ORACLE"])
QUICKSTART = os.path.join(EXAMPLES, "quickstart")
MINIMAL = os.path.join(EXAMPLES, "minimal")
REGION, TABLE, ROLE = "eu-central-1", "locks", "locker"
ALLOWED = {"Effect": "Allow", "Action": "dynamodb:*", "Resource": "*"}
# Every call that prepares the server; the next ones must be signed well.
PREPARATIONS = 6


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = tempfile.TemporaryFile()

    def __enter__(self):
        command = [os.path.join(os.path.dirname(sys.executable), "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)]
        environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(PREPARATIONS)}
        self.process = subprocess.Popen(command, env=environment, stdout=self.log, stderr=self.log)
        for _ in range(300):
            if self.process.poll() is not None:
                self.fail("ended by itself")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                time.sleep(0.1)
        self.fail("does not start")

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def fail(self, what):
        self.log.seek(0)
        sys.exit(f"moto: the server {what}: {self.log.read().decode()[-2000:]}")

    def client(self, service):
        # Not checked yet: any key will do.
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION,
            aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="example",
        )


def prepare(server):
    """A table, a user with a key who may lock in it, and a role that may too."""
    iam = server.client("iam")
    policy = json.dumps({"Version": "2012-10-17", "Statement": [ALLOWED, {**ALLOWED, "Action": "sts:AssumeRole"}]})
    iam.create_user(UserName="ann")
    iam.put_user_policy(UserName="ann", PolicyName="locks", PolicyDocument=policy)
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.put_role_policy(RoleName=ROLE, PolicyName="locks", PolicyDocument=policy)
    server.client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    return key["AccessKeyId"], key["SecretAccessKey"], role["Arn"]


def run(command, **variables):
    """Exit code and output of a program that has these variables and no others."""
    done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    return done.returncode, done.stdout.decode()


def quickstart(server, key, secret):
    command = [QUICKSTART, "--endpoint-url", server.url, "--table", TABLE]
    return run(command, AWS_REGION=REGION, AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret)


def minimal(server, key, secret):
    """Its time is up after a second."""
    return run(
        [MINIMAL, TABLE, "job-42"], AWS_ENDPOINT_URL=server.url, AWS_REGION=REGION,
        AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret,
    )


def with_role(server, key, secret, role):
    """The smallest program, its credentials from a profile with a role."""
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "config")
        with open(config, "w") as file:
            file.write(
                f"[profile locker]\nregion = {REGION}\nrole_arn = {role}\nsource_profile = ann\n"
                f"[profile ann]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
            )
        return run(
            [MINIMAL, TABLE, "of-a-role"], AWS_PROFILE="locker", AWS_CONFIG_FILE=config,
            AWS_SHARED_CREDENTIALS_FILE=os.path.join(folder, "none"), HOME=folder, AWS_ENDPOINT_URL=server.url,
        )


def other_byte(secret, at):
    return secret[:at] + ("A" if secret[at] != "A" else "B") + secret[at + 1:]


def refused(outcome, code, secret):
    """Refused for that reason, and without showing the secret.

    moto answers in XML here, where DynamoDB would in JSON. So the client takes it for somebody
    else's answer, tries until its time is up, and quotes it.
    """
    exit_code, output = outcome
    return exit_code != 0 and code in output and secret not in output


# Ended from outside, it still ends the server.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
tally = Tally("moto")
with Server() as server:
    key, secret, role = prepare(server)
    outcome = quickstart(server, key, secret)
    tally.compare("a whole life, signed well", outcome[0], 0, outcome[1])
    tally.compare("one acquire and release", minimal(server, key, secret), (0, ""), key)
    for at in range(0, len(secret), 4):
        changed = other_byte(secret, at)
        outcome = minimal(server, key, changed)
        found = refused(outcome, "SignatureDoesNotMatch", changed)
        tally.compare("one byte of the secret changed", found, True, outcome)
    outcome = minimal(server, "AKIANOBODYHASTHISKEY", secret)
    found = refused(outcome, "InvalidClientTokenId", secret)
    tally.compare("a key that nobody has", found, True, outcome)
    outcome = with_role(server, key, secret, role)
    tally.compare("a role's key, by AssumeRole", outcome, (0, ""), role)
    changed = other_byte(secret, 7)
    outcome = with_role(server, key, changed, role)
    found = refused(outcome, "SignatureDoesNotMatch", changed)
    tally.compare("AssumeRole with another secret", found, True, outcome)
tally.report()

"""Our signature against botocore's, on random requests."""

import datetime
import string
from unittest import mock

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ask import CASES, Tally, ask, seeded

random = seeded("signature")
GRAPHIC = "".join(chr(c) for c in range(0x21, 0x7F))
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
# The last second of the year 9999.
LAST = 253_402_300_799


def graphic(longest):
    return "".join(random.choice(GRAPHIC) for _ in range(random.randint(1, longest)))


def region():
    known = ["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1"]
    letters = string.ascii_lowercase + string.digits
    return random.choice(known + ["".join(random.choice(letters) for _ in range(random.randint(1, 63)))])


def header():
    """A name that we do not set ourselves, and a value with spaces inside and around it."""
    name = "x-" + "".join(random.choice(string.ascii_letters + string.digits + "-_") for _ in range(8)) + "z"
    words = [graphic(8) for _ in range(random.randint(0, 4))]
    spaces = lambda: " " * random.choice([0, 1, 1, 2, 5])
    return [name, spaces() + "".join(word + " " + spaces() for word in words)]


def case():
    service = random.choice(["dynamodb", "sts"])
    where = region()
    headers = {
        "host": random.choice([f"{service}.{where}.amazonaws.com", "127.0.0.1:8000", "[::1]:8000"]),
        "content-type": random.choice(["application/x-amz-json-1.0", "application/x-www-form-urlencoded; charset=utf-8"]),
    }
    if service == "dynamodb":
        headers["x-amz-target"] = "DynamoDB_20120810." + random.choice(["UpdateItem", "DeleteItem"])
    for name, content in (header() for _ in range(random.randint(0, 4))):
        headers.setdefault(name.lower(), content)
    # Not signed by either.
    if random.random() < 0.3:
        headers["user-agent"] = "dynolock"
    headers = list(headers.items())
    random.shuffle(headers)
    seconds = random.choice([0, LAST, random.randint(0, LAST), random.randint(0, 4_000_000_000)])
    length = random.choice([0, 1, 55, 56, 63, 64, 65, random.randint(0, 3000)])
    return {
        "ask": "sign",
        "method": random.choice(["POST", "POST", "GET"]),
        "path": "/",
        "headers": headers,
        "body": random.randbytes(length).hex(),
        "id": graphic(128),
        "secret": graphic(64),
        "token": graphic(1000) if random.random() < 0.5 else None,
        "service": service,
        "region": where,
        "seconds": seconds,
    }


def theirs(case):
    request = AWSRequest(
        method=case["method"],
        url="https://" + dict(case["headers"])["host"] + case["path"],
        headers=dict(case["headers"]),
        data=bytes.fromhex(case["body"]),
    )
    now = EPOCH + datetime.timedelta(seconds=case["seconds"])
    credentials = Credentials(case["id"], case["secret"], case["token"])
    with mock.patch("botocore.auth.get_current_datetime", return_value=now.replace(tzinfo=None)):
        SigV4Auth(credentials, case["service"], case["region"]).add_auth(request)
    return {
        "authorization": request.headers["Authorization"],
        "x-amz-date": request.headers["X-Amz-Date"],
        "x-amz-security-token": request.headers["X-Amz-Security-Token"],
    }


tally = Tally("signature")
cases = [case() for _ in range(CASES)]
for it, ours in zip(cases, ask(cases)):
    tally.compare("authorization, date and token", ours, theirs(it), it)
tally.report(least=CASES)

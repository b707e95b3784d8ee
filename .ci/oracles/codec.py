"""Our codec against boto3's serializer and botocore's parser, on random nested values."""

import json
from decimal import Decimal, Rounded
from unittest import mock

import botocore.parsers
import botocore.serialize
import botocore.session
from boto3.dynamodb.types import DYNAMODB_CONTEXT, Binary, TypeDeserializer, TypeSerializer

from ask import CASES, Tally, ask, seeded

random = seeded("codec")
service = botocore.session.get_session().get_service_model("dynamodb")
serializer = botocore.serialize.create_serializer("json")
parser = botocore.parsers.create_parser("json")
put, get = service.operation_model("PutItem"), service.operation_model("GetItem")

CHARACTERS = [
    lambda: random.randint(0x20, 0x7E),
    lambda: random.randint(0, 0x1F),
    lambda: random.choice([0x22, 0x5C, 0x2F, 0x7F, 0x85, 0xA0, 0xFEFF, 0xFFFD, 0xFFFF, 0x2028, 0xD7FF, 0xE000]),
    lambda: random.randint(0x80, 0x7FF),
    lambda: random.randint(0x10000, 0x10FFFF),
]


def text(longest=12):
    return "".join(chr(random.choice(CHARACTERS)()) for _ in range(random.choice([0, 1, 3, longest])))


def number():
    kind = random.randrange(4)
    if kind == 0:
        return random.choice([0, 1, -1, 2**63, -(2**63), 10**37, Decimal("1E+125")])
    if kind == 1:
        return random.randint(-(10**38) + 1, 10**38 - 1)
    digits = random.choice([1, 2, 17, 37, 38])
    digits = random.randint(10 ** (digits - 1), 10**digits - 1)
    # The first digit's power of ten, within DynamoDB's range.
    top = random.choice([-130, -129, -1, 0, 1, 37, 38, 124, 125, random.randint(-130, 125)])
    # boto3's last digit is not farther behind the point than this; DynamoDB's may be by two more.
    exponent = max(-165, top - len(str(digits)) + 1)
    return Decimal((random.randrange(2), tuple(map(int, str(digits))), exponent))


def blob():
    return bytes(random.getrandbits(8) for _ in range(random.choice([0, 1, 2, 3, 30])))


def some(element, least=0):
    return [element() for _ in range(random.choice([least, 1, 2, 5]))]


def as_set(element):
    return set(some(element, least=1)) or {element()}


def value(depth):
    leaves = [
        text, number, blob,
        lambda: random.random() < 0.5,
        lambda: None,
        lambda: as_set(text), lambda: as_set(number), lambda: as_set(blob),
    ]
    if depth <= 0 or random.random() < 0.5:
        return random.choice(leaves)()
    if random.random() < 0.5:
        return some(lambda: value(depth - 1))
    return {text(): value(depth - 1) for _ in range(random.choice([0, 1, 3]))}


def item():
    made = {text(): value(random.choice([1, 2, 4])) for _ in range(random.choice([1, 1, 3]))}
    if random.random() < 0.05:
        deep = text()
        for level in range(31):
            deep = [deep] if level % 2 else {"n": deep}
        made["deep"] = deep
    return made


def neutral(given):
    """A Python value in the words of our side; numbers compare as numbers, sets as sets."""
    if given is None:
        return ("null",)
    if isinstance(given, bool):
        return ("truth", given)
    if isinstance(given, (int, Decimal)):
        return ("number", Decimal(given))
    if isinstance(given, str):
        return ("text", given)
    if isinstance(given, (bytes, Binary)):
        return ("bytes", bytes(given).hex())
    if isinstance(given, dict):
        return ("map", {name: neutral(inner) for name, inner in given.items()})
    if isinstance(given, list):
        return ("list", [neutral(inner) for inner in given])
    assert isinstance(given, set), given
    kinds = {neutral(element)[0] for element in given}
    (kind,) = kinds
    name = {"text": "texts", "number": "numbers", "bytes": "byte strings"}[kind]
    return (name, frozenset(neutral(element)[1] for element in given))


def read(description):
    """The same, from our side's description."""
    kind, *content = description
    if kind == "null":
        return ("null",)
    (content,) = content
    if kind == "number":
        return (kind, Decimal(content))
    if kind == "map":
        names = [name for name, _ in content]
        assert len(set(names)) == len(names)
        return (kind, {name: read(inner) for name, inner in content})
    if kind == "list":
        return (kind, [read(inner) for inner in content])
    if kind == "numbers":
        return (kind, frozenset(map(Decimal, content)))
    if kind in ("texts", "byte strings"):
        return (kind, frozenset(content))
    return (kind, content)


def written(neutral):
    """A description for our side to encode, its numbers in Python's notation."""
    kind, *content = neutral
    if kind == "null":
        return [kind]
    (content,) = content
    if kind == "number":
        return [kind, str(content)]
    if kind == "map":
        return [kind, [[name, written(inner)] for name, inner in content.items()]]
    if kind == "list":
        return [kind, [written(inner) for inner in content]]
    if kind in ("texts", "numbers", "byte strings"):
        return [kind, list(map(str, content))]
    return [kind, content]


# Zeros at the end of a plain number are digits to boto3. They are none to DynamoDB, which writes
# them itself; whatever is not exact is still an error.
reader = DYNAMODB_CONTEXT.copy()
reader.traps[Rounded] = False


def theirs(given):
    """The item on the wire, as botocore sends it, cut out of its request."""
    typed = {name: TypeSerializer().serialize(inner) for name, inner in given.items()}
    body = serializer.serialize_to_request({"TableName": "t", "Item": typed}, put)["body"]
    start = '{"TableName": "t", "Item": '
    body = body.decode() if isinstance(body, bytes) else body
    assert body.startswith(start) and body.endswith("}"), body
    return body[len(start):-1]


def parsed(json_text):
    """The item that boto3's resource shows to its user."""
    answer = {"status_code": 200, "headers": {}, "body": ('{"Item":' + json_text + "}").encode()}
    typed = parser.parse(answer, get.output_shape)["Item"]
    with mock.patch("boto3.dynamodb.types.DYNAMODB_CONTEXT", reader):
        return {name: TypeDeserializer().deserialize(inner) for name, inner in typed.items()}


tally = Tally("codec")
items = [item() for _ in range(CASES)]
answers = ask([{"ask": "decode", "json": theirs(given)} for given in items])
for given, answer in zip(items, answers):
    found = read(answer["item"]) if "item" in answer else answer
    tally.compare("what boto3 writes, we read", found, neutral(given), given)

answers = ask([{"ask": "encode", "item": written(neutral(given))} for given in items])
for given, answer in zip(items, answers):
    found = neutral(parsed(answer["json"])) if "json" in answer else answer
    tally.compare("what we write, boto3 reads", found, neutral(given), given)

# What boto3 refuses to write, we refuse to read; and half a surrogate pair is no text.
refused = ["1" * 39, "1." + "0" * 37 + "1", "NaN", "Infinity"]
for number_text, answer in zip(refused, ask([{"ask": "decode", "json": json.dumps({"n": {"N": it}})} for it in refused])):
    try:
        TypeSerializer().serialize(Decimal(number_text))
        accepted = True
    except Exception:
        accepted = False
    tally.compare("numbers that are none", "item" in answer, accepted, number_text)
lone = [chr(random.randint(0xD800, 0xDFFF)) for _ in range(100)]
for half, answer in zip(lone, ask([{"ask": "decode", "json": json.dumps({"s": {"S": half}})} for half in lone])):
    tally.compare("half a surrogate pair", "item" in answer, False, half)
tally.report()

"""The server of a comparison: the engine, with its relays and TLS, and the tables in it."""

import json
import subprocess
import urllib.request

from .peers import LEASE, LOCKING, TARGET

AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20300101/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=host;x-amz-date;x-amz-target, Signature=0")


class Server:
    """Used in a `with`; ends with it."""

    def __init__(self, scratch, upstream=None):
        self.authority = scratch / "authority.pem"
        arguments = [str(TARGET / "server" / "engine"), "--ca", str(self.authority)]
        if upstream:
            arguments += ["--upstream", upstream]
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        addresses = json.loads(self.process.stdout.readline())
        self.url = addresses["url"]
        self.tls = addresses["tls"]
        self.relays = addresses["relays"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def ask(self, command):
        """See engine/src/main.rs."""
        self.process.stdin.write(command + "\n")
        return json.loads(self.process.stdout.readline())

    def call(self, operation, **body):
        request = urllib.request.Request(self.url, json.dumps(body).encode(), {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "X-Amz-Date": "20300101T000000Z",
            "Authorization": AUTHORIZATION,
        })
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def create_tables(self):
        for peer in LOCKING:
            self.call(
                "CreateTable", TableName=peer.table, BillingMode="PAY_PER_REQUEST",
                KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
                AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}])
            if peer is LEASE:
                # It insists on this.
                self.call("UpdateTimeToLive", TableName=peer.table, TimeToLiveSpecification={
                    "AttributeName": "lease_expiry", "Enabled": True})

    def put_items(self, table, count, size):
        """Items of `size` bytes, for as many leases; what was there is gone."""
        def put(number):
            key = f"lease-{number:05}"
            data = "x" * (size - len("key") - len(key) - len("data"))
            return {"PutRequest": {"Item": {"key": {"S": key}, "data": {"S": data}}}}
        for start in range(0, count, 25):
            puts = [put(number) for number in range(start, min(start + 25, count))]
            self.call("BatchWriteItem", RequestItems={table: puts})

    def environment(self, url):
        """Of a program that is to find this server at one of its addresses."""
        found = {
            "AWS_ENDPOINT_URL": url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
        }
        if url == self.tls:
            # Whom to believe: dynolock reads the first, the SDK's TLS the second.
            found["AWS_CA_BUNDLE"] = found["SSL_CERT_FILE"] = str(self.authority)
        return found

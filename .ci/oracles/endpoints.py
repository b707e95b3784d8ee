"""Our endpoints against botocore's rules, for every region that botocore lists."""

import botocore.loaders
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import EndpointProviderError

from ask import Tally, ask

loader = botocore.loaders.create_loader()
partitions = loader.load_data("partitions")
SERVICES = {
    # Endpoints of an account are not used: a lock is reached by its region.
    "dynamodb": {"AccountIdEndpointMode": "disabled"},
    "sts": {"UseGlobalEndpoint": False},
}

regions = sorted(
    region
    for partition in partitions["partitions"]
    for region in partition["regions"]
    # A partition as a whole is no region that a table lies in.
    if not region.endswith("-global")
)
questions = [
    {"ask": "endpoint", "service": service, "region": region, "fips": fips, "dual_stack": dual_stack}
    for service in SERVICES
    for region in regions
    for fips in (False, True)
    for dual_stack in (False, True)
]
providers = {
    service: EndpointProvider(loader.load_service_model(service, "endpoint-rule-set-1"), partitions)
    for service in SERVICES
}

tally, refused = Tally("endpoints"), []
for question, ours in zip(questions, ask(questions)):
    try:
        theirs = providers[question["service"]].resolve_endpoint(
            Region=question["region"],
            UseFIPS=question["fips"],
            UseDualStack=question["dual_stack"],
            **SERVICES[question["service"]],
        )
    except EndpointProviderError as error:
        refused.append((question, str(error)))
        continue
    tally.compare(question["service"], ours.get("url", ours), theirs.url + "/", question)
print(f"endpoints: {len(regions)} regions; botocore refuses {len(refused)} combinations")
for _, why in refused[:1]:
    print(f"endpoints: such as: {why}")
tally.report(least=100)

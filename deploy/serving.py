"""What API Gateway serves: not an API as it is, but a snapshot of it, its deployment.

SAM names the deployment by a hash of the API's definition as it is written, and a parameter is written as its name. So another
value of `AllowedOrigins`, `DomainName` or `KeepApiEndpoint` alone changes the API, and no snapshot: preflights would name the
origins of before, and the gateway's own name would answer that should be closed
(https://github.com/aws/serverless-application-model/issues/1605).
"""

from collections.abc import Callable

from deploy.cloud import Cloud
from deploy.stack import Stack

STAGE = "v1"


def serve_as_it_is(cloud: Cloud, stack: Stack, api_id: str, report: Callable[[str], None]) -> None:
    """Have the stage serve the API as the last change of the stack has left it, if its snapshot is older than that.

    CloudFormation goes on with snapshots of its own: it compares templates, and not what is there.
    """
    gateway = cloud.client("apigateway")
    serves = gateway.get_stage(restApiId=api_id, stageName=STAGE)["deploymentId"]
    if gateway.get_deployment(restApiId=api_id, deploymentId=serves)["createdDate"] < stack.changed_at:
        gateway.create_deployment(restApiId=api_id, stageName=STAGE, description="As the stack was changed")
        report("The API serves what was deployed.")

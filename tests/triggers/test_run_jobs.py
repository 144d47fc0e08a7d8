"""The bell: a request writes an object, S3 tells a queue, and the function that has the right does the job."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from chalicelib import runtime
from chalicelib.catalog.bells import bell_key
from chalicelib.db.models import Job
from chalicelib.services.jobs.queue import ring
from chalicelib.services.jobs.undelete import begin_undelete
from chalicelib.services.removal.deletion import delete_file
from chalicelib.triggers.jobs import run_jobs
from deploy.template import load
from dev.event_source import sqs_event
from dev.infra import client
from dev.jobs import bell_event, due_jobs
from tests.support.backend import OPTIONS, Backend, store_away
from tests.support.waiting import eventually


@pytest.fixture
def job_id(backend: Backend) -> UUID:
    """A job that brings a file back."""
    file_id = backend.store_file()
    delete_file(backend.context(), file_id)
    (outcome,) = begin_undelete(backend.context(), [file_id])
    assert outcome.job_id is not None
    return outcome.job_id


def _state(job_id: UUID) -> str:
    with runtime.transaction() as session:
        return session.get_one(Job, job_id).state


@pytest.fixture
def queue_url(backend: Backend) -> str:
    """The queue of `infra/jobs.yaml`, with its bucket, as CloudFormation makes them."""
    template = load("jobs")
    made = ("BellBucket", "JobsQueue", "JobsQueuePolicy")
    resources = {name: template["Resources"][name] for name in made}
    outputs = {"Bucket": {"Value": {"Ref": "BellBucket"}}, "Queue": {"Value": {"Ref": "JobsQueue"}}}
    cloudformation = client("cloudformation", backend.s3.meta.endpoint_url)
    body = json.dumps({"Resources": resources, "Outputs": outputs})
    cloudformation.create_stack(StackName="bell", TemplateBody=body)
    cloudformation.get_waiter("stack_create_complete").wait(StackName="bell", WaiterConfig={"Delay": 1})
    (stack,) = cloudformation.describe_stacks(StackName="bell")["Stacks"]
    told = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    backend.bell = told["Bucket"]  # type: ignore[attr-defined]
    return str(told["Queue"]).rpartition("/")[2]


def test_a_request_rings_and_the_function_does_the_job(backend: Backend, queue_url: str, job_id: UUID) -> None:
    settings = OPTIONS.model_copy(update={"bell_bucket": backend.bell})  # type: ignore[attr-defined]
    ring(backend.context(settings=settings), job_id)

    sqs = client("sqs", backend.s3.meta.endpoint_url)
    url = sqs.get_queue_url(QueueName=queue_url)["QueueUrl"]
    messages: list[Any] = []

    def has_come() -> bool:
        messages.extend(
            sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, AttributeNames=["All"]).get("Messages", [])
        )
        return any(bell_key(job_id) in message["Body"] for message in messages)

    assert eventually(has_come)
    assert run_jobs(sqs_event(messages, "arn:aws:sqs:us-east-1:000000000000:jobs", "us-east-1"), None) == {
        "batchItemFailures": []
    }
    assert _state(job_id) == "done"


def test_the_local_stack_finds_the_job_and_calls_the_function_as_lambda_would(backend: Backend, job_id: UUID) -> None:
    assert list(due_jobs(10)) == [job_id]
    run_jobs(bell_event(job_id), None)
    assert _state(job_id) == "done"
    assert list(due_jobs(10)) == []
    run_jobs(bell_event(job_id), None)  # again does no harm
    assert _state(job_id) == "done"


def test_what_is_no_bell_does_nothing(backend: Backend, job_id: UUID) -> None:
    bodies = ["{", json.dumps({"Event": "s3:TestEvent"})]
    for key in (f"other/{job_id}", "jobs/no-uuid"):
        body = json.loads(bell_event(job_id)["Records"][0]["body"])
        body["Records"][0]["s3"]["object"]["key"] = key
        bodies.append(json.dumps(body))
    events = {"Records": [{"messageId": str(number), "body": body} for number, body in enumerate(bodies)]}
    assert run_jobs(events, None) == {"batchItemFailures": []}
    run_jobs(bell_event(uuid4()), None)
    assert _state(job_id) == "queued"


def test_a_bell_that_nobody_hears_is_no_error(backend: Backend, job_id: UUID) -> None:
    settings = OPTIONS.model_copy(update={"bell_bucket": "there-is-none"})
    ring(backend.context(settings=settings), job_id)
    backend.store = store_away()
    ring(backend.context(settings=settings), job_id)
    assert _state(job_id) == "queued"

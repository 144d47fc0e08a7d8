"""Routes of dead events."""

from chalicelib.api.http.endpoint import ADMIN, Call, Reply, StepwiseCall, endpoint, stepwise_endpoint
from chalicelib.api.http.pages import page_reply
from chalicelib.api.schemas.common import Page
from chalicelib.api.schemas.dead_events import (
    DeadEventDetail,
    DeadEventOut,
    DeadEventPath,
    DeadEventQuery,
    DeadEventSelection,
    DiscardedOut,
    RedrivenOut,
)
from chalicelib.catalog.dead_events import DeadEvent, Redriven
from chalicelib.errors import Forbidden, InvalidCursor, NotFound, Unprocessable
from chalicelib.services.ingest import dead_events


@endpoint(needs=ADMIN, query=DeadEventQuery, response=Page[DeadEventOut], errors=(InvalidCursor, Forbidden))
def list_dead_events(call: Call[None, DeadEventQuery, None]) -> Reply:
    """List notifications that failed all their tries, with the reason.

    Only for operators. The latest to die come first.
    """
    query = call.query
    return page_reply(call, dead_events.list_dead_events(call.tx, query.selection, query.limit, query.cursor))


@endpoint(needs=ADMIN, path=DeadEventPath, response=DeadEventDetail, errors=(Forbidden, NotFound))
def get_dead_event(call: Call[DeadEventPath, None, None]) -> DeadEvent:
    """Read a dead event, with the message.

    Only for operators.
    """
    return dead_events.get_dead_event(call.tx, call.path.event_id)


@stepwise_endpoint(needs=ADMIN, body=DeadEventSelection, response=RedrivenOut, errors=(Forbidden, Unprocessable))
def redrive_dead_events(call: StepwiseCall[None, None, DeadEventSelection]) -> Redriven:
    """Try dead events again, by themselves, for up to ten seconds.

    Only for operators. Doing it too early, or twice, does no harm: what fails again stays, with its reason.
    """
    return dead_events.redrive(call.ctx, call.body.selection)


@endpoint(needs=ADMIN, body=DeadEventSelection, response=DiscardedOut, errors=(Forbidden, Unprocessable))
def discard_dead_events(call: Call[None, None, DeadEventSelection]) -> DiscardedOut:
    """Throw dead events away, for ever.

    Only for operators. An audit still finds what they told of, if it is true.
    """
    return DiscardedOut(discarded=dead_events.discard(call.tx, call.body.selection))

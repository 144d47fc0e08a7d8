"""Who may do what: every route, asked by everybody, about what is there, what was deleted, and what never was.

The table is matrix.yaml.
"""

import pytest

from chalicelib.api.http import openapi
from chalicelib.api.routes import ROUTES
from tests.support.matrix import Answer, Line, World, read_table, without_names
from tests.support.things import checksums, stored

TABLE = read_table()
REFUSALS = (401, 403, 404)


def test_every_route_has_a_line_and_every_line_a_route() -> None:
    assert {line.route for line in TABLE.values()} == {(route.method, route.path) for route in ROUTES}


def test_what_the_table_expects_is_documented() -> None:
    paths = openapi.document(ROUTES)["paths"]
    for line in TABLE.values():
        method, path = line.route
        operation = paths[path][method.lower()]
        told = {status for asker, statuses in line.expected.items() for status in statuses}
        assert set(map(str, told)) <= set(operation["responses"]), line.name
        assert (401 in told) == ("401" in operation["responses"]), line.name


@pytest.mark.parametrize("line", TABLE.values(), ids=TABLE)
def test_each_asker_gets_its_answer(world: World, line: Line) -> None:
    named = {asker: [world.names(line, asker, state) for state in line.states] for asker in line.expected}
    answers: dict[str, set[Answer]] = {asker: set() for asker in line.expected}

    def ask(asker: str, refused: bool) -> None:
        for status, names in zip(line.expected[asker], named[asker], strict=True):
            if (status in REFUSALS) == refused:
                answer = world.ask(asker, line, names)
                assert answer.status == status, f"{asker}, {names}: {answer}"
                answers[asker].add(without_names(answer, names))

    # What is refused comes first, and changes nothing.
    rows, objects = checksums(), stored(world.service.s3)
    for asker in line.expected:
        ask(asker, refused=True)
        assert checksums() == rows, f"{asker} is refused, and changes something"
    assert stored(world.service.s3) == objects, "somebody is refused, and changes something in the bucket"
    for asker, expected in line.expected.items():
        ask(asker, refused=False)
        # Where the table gives a stranger one status, the whole answer is one.
        knows = line.kind == "shared_file" and asker in ("viewer", "editor")
        is_no_stranger = knows or asker in ("owner", "operator", "admin key")
        alike = len(answers[asker]) == len(set(expected))
        assert is_no_stranger or alike, f"{asker} learns what is there: {answers[asker]}"


@pytest.mark.parametrize(
    "line", [line for line in TABLE.values() if min(line.expected["stranger"]) < 300 and line.kind]
)
def test_what_a_stranger_may_do_changes_nothing_of_others(world: World, line: Line) -> None:
    names = world.names(line, "stranger", "there")
    rows, objects = checksums(but_of=world.ids["stranger"]), stored(world.service.s3, but_of=world.ids["stranger"])
    assert world.ask("stranger", line, names).status < 300
    assert checksums(but_of=world.ids["stranger"]) == rows
    assert stored(world.service.s3, but_of=world.ids["stranger"]) == objects

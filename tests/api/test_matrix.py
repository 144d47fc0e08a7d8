"""Who may do what: every route, asked by everybody, about what is there, what was deleted, and what never was.

The table is matrix.yaml.
"""

import pytest

from chalicelib.api.http import openapi
from chalicelib.api.routes import ROUTES
from tests.support.matrix import Line, World, read_table, without_names
from tests.support.things import checksums

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
    for asker, expected in line.expected.items():
        named = [world.names(line, asker, state) for state in line.states]
        rows, answers = checksums(), set()
        # What is refused comes first, and changes nothing.
        for status, names in sorted(zip(expected, named, strict=True), key=lambda one: one[0] not in REFUSALS):
            if status not in REFUSALS and rows:
                assert checksums() == rows, f"{asker} is refused, and changes something"
                rows = {}
            answer = world.ask(asker, line, names)
            assert answer.status == status, f"{asker}, {names}: {answer}"
            answers.add(without_names(answer, names))
        assert not rows or checksums() == rows, f"{asker} is refused, and changes something"
        # Where the table gives a stranger one status, the whole answer is one.
        knows = line.kind == "shared_file" and asker in ("viewer", "editor")
        is_no_stranger = knows or asker in ("owner", "operator", "admin key")
        assert is_no_stranger or len(answers) == len(set(expected)), f"{asker} learns what is there: {answers}"


@pytest.mark.parametrize(
    "line", [line for line in TABLE.values() if min(line.expected["stranger"]) < 300 and line.kind]
)
def test_what_a_stranger_may_do_changes_nothing_of_others(world: World, line: Line) -> None:
    names = world.names(line, "stranger", "there")
    rows = checksums(but_of=world.ids["stranger"])
    assert world.ask("stranger", line, names).status < 300
    assert checksums(but_of=world.ids["stranger"]) == rows

"""No secret in a function's environment that could be elsewhere, and a word where one is."""

from deploy.worries import worries
from tests.support.templates import Template, of_type

_NOTHING = {"Ref": "AWS::NoValue"}


def test_every_function_that_logs_in_to_the_database_may_read_its_secret_and_only_that(native: Template) -> None:
    reads = native["Resources"]["ReadsDatabaseSecret"]
    assert reads["Condition"] == "HasDatabaseSecret"
    (first,) = reads["Properties"]["PolicyDocument"]["Statement"]
    assert (first["Action"], first["Resource"]) == ("secretsmanager:GetSecretValue", {"Ref": "DatabaseSecretArn"})

    given = {"Fn::If": ["HasDatabaseSecret", {"Ref": "ReadsDatabaseSecret"}, _NOTHING]}
    functions = of_type(native, "AWS::Lambda::Function")
    readers = {
        name
        for name, function in functions.items()
        if given
        in native["Resources"][function["Properties"]["Role"]["Fn::GetAtt"][0]]["Properties"].get(
            "ManagedPolicyArns", []
        )
    }
    assert readers == set(functions) - {"FetchKeys"}


def test_no_parameters_but_the_databases_address_and_the_cdns_proof_are_secret(native: Template) -> None:
    assert {name for name, item in native["Parameters"].items() if item.get("NoEcho")} == {"DatabaseUrl", "CdnSecret"}


def test_an_operator_is_told_that_a_password_lies_in_the_environment() -> None:
    safe = {"AlarmEmail": "a@b.example"}
    (worry,) = worries({**safe, "DatabaseUrl": "****", "DatabaseLogin": "password"})
    assert "DatabaseSecretArn" in worry
    for login in ("iam", "secret"):
        assert worries({**safe, "DatabaseUrl": "****", "DatabaseLogin": login}) == []
    assert worries({**safe, "DatabaseUrl": ""}) == []
    assert "alarms go to nobody" in worries({})[0]

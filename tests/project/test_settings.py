"""The environment is read once, strictly, and every option is documented."""

from pathlib import Path

import pytest

from chalicelib.errors import ConfigurationError
from chalicelib.settings import Settings

README = Path(__file__).parents[2] / "README.md"


def test_an_empty_environment_means_the_local_stage() -> None:
    options = Settings.from_environment({})
    assert (options.stage, options.bucket, options.s3_endpoint) == ("local", "landfall-local", "http://127.0.0.1:4566")
    assert options.is_local


def test_another_stage_must_name_its_database_and_bucket_and_identifies_nobody() -> None:
    with pytest.raises(ConfigurationError, match="LANDFALL_DATABASE_URL, LANDFALL_BUCKET"):
        Settings.from_environment({"LANDFALL_STAGE": "prod"})
    options = Settings.from_environment(
        {"LANDFALL_STAGE": "prod", "LANDFALL_DATABASE_URL": "postgresql+pg8000://db/x", "LANDFALL_BUCKET": "b"}
    )
    assert (options.identity, options.s3_endpoint, options.is_local) == ("none", None, False)


def test_the_endpoint_of_s3_overrides_the_common_one() -> None:
    environ = {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://b"}
    assert Settings.from_environment(environ).s3_endpoint == "http://b"


@pytest.mark.parametrize("stage", ["local", "prod"])
def test_an_empty_variable_counts_as_unset(stage: str) -> None:
    named = {"LANDFALL_STAGE": stage, "LANDFALL_DATABASE_URL": "postgresql://d", "LANDFALL_BUCKET": "b"}
    optional = {field.alias: "" for field in Settings.model_fields.values() if field.alias not in named}
    del optional["AWS_ENDPOINT_URL"]

    assert Settings.from_environment(named | optional) == Settings.from_environment(named)
    assert (Settings.from_environment(named | optional).public_url is None) == (stage == "prod")


def test_events_of_unknown_buckets_are_recorded_only_when_told() -> None:
    options = Settings.from_environment({"LANDFALL_EXTRA_BUCKETS": "x, y"})
    assert [options.records_bucket(name) for name in ("landfall-local", "x", "y", "z")] == [True, True, True, False]
    assert Settings.from_environment({"LANDFALL_ANY_BUCKET": "true"}).records_bucket("z")


def test_bells_are_not_put_among_the_files() -> None:
    with pytest.raises(ConfigurationError, match="LANDFALL_BELL_BUCKET"):
        Settings.from_environment({"LANDFALL_BUCKET": "files", "LANDFALL_BELL_BUCKET": "files"})


def test_a_wrong_value_is_named() -> None:
    with pytest.raises(ConfigurationError, match="LANDFALL_LINK_SECONDS"):
        Settings.from_environment({"LANDFALL_LINK_SECONDS": "soon"})


@pytest.mark.parametrize("variable", [field.alias for field in Settings.model_fields.values()])
def test_every_option_is_in_the_readme(variable: str) -> None:
    assert f"`{variable}`" in README.read_text()


@pytest.mark.parametrize("stage", ["dev", "prod", "Local", "local2"])
def test_only_the_local_stage_can_start_with_the_demo_operator(stage: str) -> None:
    named = {"LANDFALL_DATABASE_URL": "postgresql://d", "LANDFALL_BUCKET": "b", "LANDFALL_IDENTITY": "demo"}
    with pytest.raises(ConfigurationError, match="local stage alone"):
        Settings.from_environment({"LANDFALL_STAGE": stage, **named})
    assert Settings.from_environment({"LANDFALL_STAGE": "local", **named}).identity == "demo"


def test_tokens_need_an_issuer_an_audience_and_a_place_for_keys_of_their_own() -> None:
    taken = {"LANDFALL_IDENTITY": "oidc", "LANDFALL_OIDC_ISSUERS": "https://a", "LANDFALL_OIDC_AUDIENCES": "x"}
    for name in ("LANDFALL_OIDC_ISSUERS", "LANDFALL_OIDC_AUDIENCES"):
        with pytest.raises(ConfigurationError, match=name):
            Settings.from_environment({**taken, name: ""})
    with pytest.raises(ConfigurationError, match="no files are put into"):
        Settings.from_environment({**taken, "LANDFALL_BUCKET": "b", "LANDFALL_KEYS_BUCKET": "b"})
    assert Settings.from_environment({**taken, "LANDFALL_KEYS_BUCKET": "k"}).keys_bucket == "k"

"""``python -m dev.database_setup`` brings the local database to the current schema and puts the first operators in."""

from datetime import UTC, datetime

from chalicelib.settings import Settings
from dev.authorization import PEOPLE
from dev.configuration import Configuration


def prepare(settings: Settings, provider_url: str = "") -> None:
    """Migrate the database of ``settings`` and make sure that the demo operator exists. Repeatable.

    If callers sign in with the provider at ``provider_url``, the first of its people is an operator.
    """
    from chalicelib.db.engine import create_catalog_engine, transaction
    from chalicelib.db.scope import EVERYONE
    from chalicelib.db.users import find_user
    from chalicelib.services.accounts.signing_in import user_of
    from chalicelib.services.accounts.tokens import Identity
    from chalicelib.services.upkeep.schema import migrate

    engine = create_catalog_engine(settings.database_url)
    try:
        migrate(engine, with_demo_user=True)
        if settings.identity == "oidc" and provider_url in settings.oidc_issuers:
            first = Identity(provider_url, PEOPLE[0], PEOPLE[0].title(), f"{PEOPLE[0]}@example.org")
            with transaction(engine) as session:
                known = user_of(session, first, datetime.now(UTC))
                if (user := find_user(session, EVERYONE, known.user_id)) is not None:
                    user.role = "operator"
    finally:
        engine.dispose()


if __name__ == "__main__":
    prepare(Settings.from_environment(), Configuration.from_environment().provider_url)

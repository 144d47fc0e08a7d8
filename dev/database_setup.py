"""``python -m dev.database_setup`` brings the local database to the current schema and puts the demo operator in."""

from chalicelib.settings import Settings


def prepare(settings: Settings) -> None:
    """Migrate the database of ``settings`` and make sure that the demo operator exists. Repeatable."""
    from chalicelib.db.engine import create_catalog_engine, transaction
    from chalicelib.db.migrate import upgrade
    from chalicelib.services.users import ensure_demo_user

    upgrade(settings.database_url)
    engine = create_catalog_engine(settings.database_url)
    with transaction(engine) as session:
        ensure_demo_user(session)
    engine.dispose()


if __name__ == "__main__":
    prepare(Settings.from_environment())

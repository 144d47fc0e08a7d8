"""``python -m dev.database_setup`` brings the local database to the current schema and puts the demo operator in."""

from chalicelib.settings import Settings


def prepare(settings: Settings) -> None:
    """Migrate the database of ``settings`` and make sure that the demo operator exists. Repeatable."""
    from chalicelib.db.engine import create_catalog_engine
    from chalicelib.services.upkeep.schema import migrate

    engine = create_catalog_engine(settings.database_url)
    try:
        migrate(engine, with_demo_user=True)
    finally:
        engine.dispose()


if __name__ == "__main__":
    prepare(Settings.from_environment())

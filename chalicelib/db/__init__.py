"""Everything that speaks SQL: models, engine, statements, migrations."""
